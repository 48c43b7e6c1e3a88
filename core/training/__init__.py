"""Fine-tuning: the loop, batches, adapters, checkpoints and predictions. Imports torch.

Knows neither the database nor the layout of folders: results leave through a callback. May import
``core.data``, ``core.models`` and ``core.evaluation``. ``microbatches`` and ``events`` are free of
torch, so that the estimate and the tests can use them.
"""
