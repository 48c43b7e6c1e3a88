"""Files of the weights, and folders."""

import json

from tests.base_folders.case import BERT, DISTILBERT, accept, refuse
from tests.base_folders.changes import (
    INDEX,
    WEIGHTS,
    change_tensors,
    link_files,
    remove_files,
    rename_file,
    shard,
    truncate,
    write_file,
)
from tests.support.tiny_models import write_bert

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n"


STORAGE = [
    accept("sharded", BERT, shard()),
    accept("sharded three times", DISTILBERT, shard(3)),
    accept("one file and shards", BERT, write_file(INDEX, json.dumps({"weight_map": {}}))),
    accept("safetensors and another pickle", BERT, write_file("pytorch_model.bin", b"other")),
    accept("linked files", BERT, link_files(WEIGHTS, "config.json", "tokenizer.json")),
    accept("finished download", BERT, write_file("x.incomplete")),
    refuse("only a pickle", BERT, rename_file(WEIGHTS, "pytorch_model.bin"), words=("pickle",)),
    refuse("only TensorFlow", BERT, rename_file(WEIGHTS, "tf_model.h5"), words=("TensorFlow",)),
    refuse("only Flax", BERT, rename_file(WEIGHTS, "flax_model.msgpack"), words=("Flax",)),
    refuse(
        "only ONNX",
        BERT,
        remove_files(WEIGHTS),
        write_file("onnx/model.onnx", b"x"),
        words=("ONNX",),
    ),
    refuse("only GGUF", BERT, rename_file(WEIGHTS, "model-q4.gguf"), words=("GGUF",)),
    refuse("no weights", BERT, remove_files(WEIGHTS), words=("has no model.safetensors",)),
    refuse(
        "a shard is missing",
        BERT,
        shard(),
        remove_files("model-00002-of-00002.safetensors"),
        words=("model-00002-of-00002.safetensors is missing",),
    ),
    refuse(
        "the index names another file",
        BERT,
        shard(
            embeddings__LayerNorm__bias="model-00001-of-00002.safetensors",
            embeddings__LayerNorm__weight="model-00001-of-00002.safetensors",
        ),
        words=(INDEX, "does not match", "embeddings.LayerNorm"),
    ),
    refuse(
        "a tensor is not in the index",
        BERT,
        shard(embeddings__LayerNorm__bias=None),
        words=("embeddings.LayerNorm.bias",),
    ),
    refuse("damaged index", BERT, shard(), write_file(INDEX, "{"), words=(INDEX, "damaged")),
    refuse("index of nothing", BERT, shard(), write_file(INDEX, "{}"), words=(INDEX, "damaged")),
    refuse("truncated", BERT, truncate(WEIGHTS, 10), words=("according to its header",)),
    refuse("empty weights", BERT, write_file(WEIGHTS), words=("not a safetensors file",)),
    refuse("a web page", BERT, write_file(WEIGHTS, "<html>"), words=("not a safetensors file",)),
    refuse("no tensors", BERT, change_tensors(lambda tensors: {}), words=("have no tensors",)),
    refuse("Git LFS pointer", BERT, write_file(WEIGHTS, POINTER), words=("git lfs pull", WEIGHTS)),
    refuse(
        "Git LFS pointer of the tokenizer",
        BERT,
        write_file("tokenizer.json", POINTER),
        words=("git lfs pull", "tokenizer.json"),
    ),
    refuse(
        "unfinished download",
        BERT,
        rename_file(WEIGHTS, f"{WEIGHTS}.incomplete"),
        words=("not complete", "Download"),
    ),
    refuse(
        "unfinished download in the cache of the Hub",
        BERT,
        remove_files(WEIGHTS),
        write_file(".cache/huggingface/download/abc.incomplete", b"x"),
        words=("not complete",),
    ),
]


FOLDERS = [
    accept("blanks and other letters", BERT, folder="my base – Größe 模型"),
    accept(
        "sentence-transformers",
        BERT,
        write_file(
            "modules.json",
            json.dumps(
                [
                    {
                        "idx": 0,
                        "name": "0",
                        "path": "",
                        "type": "sentence_transformers.models.Transformer",
                    }
                ]
            ),
        ),
        write_file("1_Pooling/config.json", json.dumps({"pooling_mode_mean_tokens": True})),
    ),
    refuse("a file", BERT, folder="base/config.json", words=("is a file",)),
    refuse("an empty folder", words=("config.json", "missing")),
    refuse("no folder", BERT, folder="base/nothing", words=("There is no folder",)),
    refuse(
        "one folder too high",
        lambda folder: write_bert(folder / "inner"),
        words=("a folder in it", "inner"),
    ),
    refuse(
        "sentence-transformers of 2020",
        lambda folder: write_bert(folder / "0_Transformer"),
        write_file("modules.json", "[]"),
        write_file("1_Pooling/config.json", "{}"),
        words=("0_Transformer",),
    ),
    refuse(
        "a repository in the cache of the Hub",
        lambda folder: write_bert(folder / "snapshots" / "abc"),
        words=("snapshots", "abc"),
    ),
    refuse(
        "an adapter",
        write_file("adapter_config.json", "{}"),
        write_file("adapter_model.safetensors"),
        words=("adapter",),
    ),
    refuse(
        "an adapter with a base model",
        BERT,
        write_file("adapter_config.json", "{}"),
        words=("adapter",),
    ),
    refuse(
        "damaged config.json",
        BERT,
        write_file("config.json", "{'a': 1}"),
        words=("config.json", "damaged"),
    ),
    refuse(
        "config.json in UTF-16",
        BERT,
        write_file("config.json", '{"model_type": "bert"}'.encode("utf-16")),
        words=("config.json", "damaged"),
    ),
    refuse(
        "config.json with a byte order mark",
        BERT,
        lambda folder: (folder / "config.json").write_bytes(
            b"\xef\xbb\xbf" + (folder / "config.json").read_bytes()
        ),
        words=("config.json", "damaged"),
    ),
    refuse(
        "a list as config.json",
        BERT,
        write_file("config.json", "[1]"),
        words=("does not describe",),
    ),
    refuse(
        "a link to nothing",
        BERT,
        remove_files(WEIGHTS),
        lambda folder: (folder / WEIGHTS).symlink_to("/nowhere/x"),
        words=("has no model.safetensors",),
    ),
]
