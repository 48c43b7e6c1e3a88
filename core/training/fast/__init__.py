"""The hand-written encoder: the fast path of training and evaluation on a CPU.

Forward and backward of encoder layers with LoRA adapters and frozen weights. May import
``core.models``, ``core.storage`` and the ground.
"""
