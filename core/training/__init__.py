"""Fine-tuning: the loop, batches, adapters, checkpoints and predictions. Imports torch.

Uses neither the database nor the layout of folders: results are passed to a callback. May import
``core.data``, ``core.models`` and ``core.evaluation``. ``microbatches`` and ``events`` do not
import torch, so that the estimate and the tests can use them.
"""
