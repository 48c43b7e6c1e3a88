"""One base model in memory, many adapters on it: class probabilities from any of them, or from the untrained base.

Shapes: n texts, C classes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.errors import ArtifactDamaged
from core.training.adapter import CONFIG, WEIGHTS, quiet_peft
from core.training.batches import Encoded, encode, token_batches
from core.training.device import batch_tokens, choose_device
from core.training.first_token import read_first_token_only
from core.training.load import Base, load_base
from core.training.predict import score

KEPT_ADAPTERS = 16  # each takes a few MB at usual ranks
AGAIN = "Train the run again, or choose another run."


@dataclass(frozen=True, slots=True)
class Loaded:
    """An adapter in memory: its name on the model, and the file it was read from as (modified, bytes)."""

    name: str
    signature: tuple[int, int]


class Classifier:
    """Reads safetensors and JSON only. ``classes`` are the names in the order of their ids; each adapter brings its own head."""

    def __init__(self, folder: Path, classes: tuple[str, ...], seed: int = 0) -> None:
        self.folder, self.classes = folder, classes
        self._base = self._load_base(seed)
        self._heads = {seed: self._read_head(self._base)}
        self._drawn = seed
        self._peft: PeftModel | None = None
        self._adapters: dict[str, Loaded] = {}
        self._names = (f"run{number}" for number in count())

    def load_adapter(self, run_id: str, folder: Path) -> None:
        """Make the run's adapter ready; reads it again if its file has changed. Raises ArtifactDamaged, with everything as before."""
        path = folder / WEIGHTS
        try:
            signature = (path.stat().st_mtime_ns, path.stat().st_size)
        except OSError as error:
            raise ArtifactDamaged(f"The adapter of {run_id} is missing.", AGAIN) from error
        if run_id in self._adapters and self._adapters[run_id].signature == signature:
            return
        name = next(self._names)
        try:
            self._add(name, folder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self._drop(name)
            message = f"The adapter of {run_id} is damaged or was made for another model ({type(error).__name__}: {str(error)[:200]})."
            raise ArtifactDamaged(message, AGAIN) from error
        if old := self._adapters.pop(run_id, None):
            self._drop(old.name)
        self._adapters[run_id] = Loaded(name, signature)
        while len(self._adapters) > KEPT_ADAPTERS:
            self._drop(self._adapters.pop(next(iter(self._adapters))).name)

    def classify(self, run_id: str | None, texts: list[str], max_tokens: int, seed: int | None = None) -> NDArray[np.float32]:
        """Probabilities (n, C). ``run_id`` None is the untrained base with the head that ``seed`` draws."""
        if not texts:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        labels = np.zeros(len(texts), dtype=np.int64)
        encoded = Encoded(encode(self._base.tokenizer, texts, max_tokens), labels, labels, self._base.tokenizer.pad_token_id or 0)
        with self.using(run_id, seed) as model:
            return self._score(model, encoded)

    @contextmanager
    def using(self, run_id: str | None, seed: int | None = None) -> Iterator[torch.nn.Module]:
        """Within it, the model with the run's adapter, or with None the untrained base with the head that ``seed`` draws."""
        if run_id is not None:
            if self._peft is None or run_id not in self._adapters:
                raise ArtifactDamaged(f"The adapter of {run_id} is not loaded.", AGAIN)
            self._peft.set_adapter(self._adapters[run_id].name)
            yield self._peft
            return
        drawn = self._drawn if seed is None else seed
        if drawn not in self._heads:
            self._heads[drawn] = self._read_head(self._load_base(drawn))
        with self._peft.disable_adapter() if self._peft is not None else nullcontext():
            self._write_head(self._base.model, drawn)
            yield self._peft or self._base.model

    def _score(self, model: torch.nn.Module, texts: Encoded) -> NDArray[np.float32]:
        def logits(ids: Tensor, mask: Tensor) -> Tensor:
            output: Tensor = model(input_ids=ids, attention_mask=mask).logits
            return output

        model.eval()
        device = choose_device()
        return np.exp(score(logits, texts, token_batches(texts.lengths, batch_tokens(device)), device))

    def _add(self, name: str, folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_bytes())
        if not isinstance(content, dict) or content.get("peft_type") != "LORA":
            raise ValueError(f"{CONFIG} describes no LoRA adapter")
        unnamed = {"base_model_name_or_path": None, "revision": None}  # PEFT would warn that this base lies in a folder
        config = LoraConfig(**{**content, **unnamed, "inference_mode": True, "init_lora_weights": True})
        tensors = load_file(folder / WEIGHTS)
        with quiet_peft(), torch.random.fork_rng(devices=[]):
            if self._peft is None:
                self._peft = get_peft_model(self._base.model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
            result = set_peft_model_state_dict(self._peft, tensors, adapter_name=name)
        lacking = [key for key in result.missing_keys if f".{name}." in key]
        if lacking or result.unexpected_keys:
            raise ValueError(f"{len(lacking)} tensors missing, {len(result.unexpected_keys)} unknown")
        self._peft.to(choose_device())

    def _drop(self, name: str) -> None:
        if self._peft is None or name not in self._peft.peft_config:
            return
        if len(self._peft.peft_config) == 1:  # PEFT cannot do without any: start over from the plain base
            self._base, self._peft = self._load_base(self._drawn), None
        else:
            self._peft.set_adapter(next(other for other in self._peft.peft_config if other != name))  # PEFT warns if it must choose
            self._peft.delete_adapter(name)

    def _load_base(self, seed: int) -> Base:
        base = load_base(self.folder, self.classes, seed)
        read_first_token_only(base.model)
        base.model.to(choose_device())
        return base

    def _read_head(self, base: Base) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in base.model.named_parameters() if self._is_new(name, base)}

    def _write_head(self, model: torch.nn.Module, seed: int) -> None:
        """Give the base the head of ``seed``; a trained copy lies beside it in its adapter."""
        parameters = {name.replace(".original_module", ""): parameter for name, parameter in model.named_parameters()}
        with torch.no_grad():
            for name, tensor in self._heads[seed].items():
                parameters[name].copy_(tensor)
        self._drawn = seed

    @staticmethod
    def _is_new(name: str, base: Base) -> bool:
        return any(f".{module}." in f".{name}" for module in base.head)
