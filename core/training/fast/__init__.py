"""The hand-written encoder: the fast path of training and evaluation on a CPU.

Forward and backward of one encoder layer with its LoRA adapters, with frozen weights. May import
nothing else of ``core``.
"""
