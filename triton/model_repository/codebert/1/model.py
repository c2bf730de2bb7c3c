"""Texts to unit vectors, for Triton's Python backend.

The environment variable MODEL_NAME says which model is served (default: microsoft/codebert-base):

* a folder, or the name of one in HF_HOME. With `model.onnx` and `tokenizer.json` (or both in
  `onnx/`) it is run by ONNX Runtime; otherwise by transformers;
* else a name on the Hugging Face hub, loaded by transformers from HF_HOME or from the hub.

A vector is the mean over the tokens of a text (its first token if the folder's
`1_Pooling/config.json` of sentence-transformers says so), made a unit vector.
It does not depend on the other texts of the batch.
"""

import json
import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

DEFAULT_MODEL = "microsoft/codebert-base"

# The tokens that are looked at of a text, special ones included. Log messages have 5 to 60.
MAX_TOKENS = 256


class Unusable(Exception):
    """The model cannot be had. Says why in one line, for the person who set MODEL_NAME."""


class OnnxEmbedder:
    """A model folder run by ONNX Runtime. Needs neither torch nor transformers."""

    def __init__(self, model, tokenizer, pooling):
        import onnxruntime
        from tokenizers import Tokenizer

        self.pooling = pooling
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()  # some tokenizers pad every text to a fixed width

        options = onnxruntime.SessionOptions()
        # The cores this process may use; left to itself ONNX Runtime counts those of the machine.
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        # Threads that spin while they wait halve the speed where cores are shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [
            provider
            for provider in ("CUDAExecutionProvider", "CPUExecutionProvider")
            if provider in onnxruntime.get_available_providers()
        ]
        self.session = onnxruntime.InferenceSession(str(model), options, providers=providers)

        self.inputs = [node.name for node in self.session.get_inputs()]
        unknown = set(self.inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise Unusable(f"{model} wants an input {unknown.pop()}, not known here")
        outputs = [node.name for node in self.session.get_outputs()]
        known = ("last_hidden_state", "token_embeddings", "sentence_embedding")
        self.output = next((name for name in known if name in outputs), outputs[0])
        self.runtime = f"ONNX Runtime, {self.session.get_providers()[0]}"

    def __call__(self, texts):
        encodings = self.tokenizer.encode_batch(texts)
        shape = (len(texts), max(len(encoding.ids) for encoding in encodings))
        tokens = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            tokens["input_ids"][row, :length] = encoding.ids
            tokens["attention_mask"][row, :length] = encoding.attention_mask
            tokens["token_type_ids"][row, :length] = encoding.type_ids
        hidden = self.session.run([self.output], {name: tokens[name] for name in self.inputs})[0]
        hidden = hidden.astype(np.float32, copy=False)
        if hidden.ndim == 2:  # pooled inside the model
            return unit(hidden)
        if self.pooling == "cls":
            return unit(hidden[:, 0])
        mask = tokens["attention_mask"][:, :, None].astype(np.float32)
        return unit((hidden * mask).sum(axis=1) / mask.sum(axis=1))


class TransformersEmbedder:
    """A model of the hub, or a folder of its shape, run by transformers and torch."""

    def __init__(self, name, device, pooling):
        import torch
        from transformers import AutoModel, AutoTokenizer

        self.torch, self.pooling = torch, pooling
        self.device = torch.device(device if torch.cuda.is_available() else "cpu")
        try:
            # Weights are fetched last, so where they are in HF_HOME the rest is too. The hub is not
            # asked then: a start without network is quick, and vectors stay what they were.
            model = AutoModel.from_pretrained(name, local_files_only=True)
            self.tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
        except (OSError, ValueError):
            self.tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModel.from_pretrained(name)
        self.max_tokens = min(MAX_TOKENS, self.tokenizer.model_max_length)
        # In single precision whatever the weights are stored in: half precision would make a
        # vector depend on its neighbours.
        self.model = model.float().eval().to(self.device)
        self.runtime = f"transformers, {self.device}"

    def __call__(self, texts):
        torch = self.torch
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            hidden = self.model(**tokens).last_hidden_state
            if self.pooling == "cls":
                vectors = hidden[:, 0]
            else:
                mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                vectors = (hidden * mask).sum(1) / mask.sum(1)
            return unit(vectors.cpu().numpy())


def unit(vectors):
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def load(name, device):
    """The embedder of a MODEL_NAME. Raises `Unusable`."""
    folder = find_folder(name)
    model, tokenizer = (find_file(folder, file) for file in ("model.onnx", "tokenizer.json"))
    try:
        if model and tokenizer:
            return OnnxEmbedder(model, tokenizer, pooling_of(folder))
        if folder and not (folder / "config.json").is_file():
            if model:
                raise Unusable(f"the folder {folder} has a model.onnx and no tokenizer.json")
            raise Unusable(
                f"the folder {folder} holds neither an ONNX model (model.onnx and tokenizer.json) "
                "nor one for transformers (config.json, weights and tokenizer)"
            )
        return TransformersEmbedder(str(folder or name), device, pooling_of(folder))
    except Unusable:
        raise
    except ImportError as error:
        raise Unusable(
            f"it needs the Python package {error.name or one_line(error)}, which is not installed; "
            "requirements-onnx.txt serves folders with model.onnx and tokenizer.json, "
            "requirements.txt any model"
        ) from None
    except Exception as error:
        if folder:
            raise Unusable(one_line(error)) from None
        home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
        raise Unusable(f"it was looked for on the hub and in HF_HOME={home}: {one_line(error)}") from None


def find_folder(name):
    """The folder that a MODEL_NAME means, or None if it is a name on the hub."""
    path = Path(name).expanduser()
    for folder in (path, Path(os.environ.get("HF_HOME") or ".") / name):
        if folder.is_dir():
            return folder.resolve()
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise Unusable(f"there is no folder {path}")
    return None


def find_file(folder, name):
    if folder is None:
        return None
    return next((path for path in (folder / name, folder / "onnx" / name) if path.is_file()), None)


def pooling_of(folder):
    """What sentence-transformers' own configuration says, where there is one; else the mean."""
    config = folder and folder / "1_Pooling" / "config.json"
    if config and config.is_file() and json.loads(config.read_text()).get("pooling_mode_cls_token"):
        return "cls"
    return "mean"


def one_line(error, limit=300):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + " …"


def texts_of(request):
    """The texts of a request. Raises ValueError, with the row that is at fault."""
    rows = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
    texts = []
    for number, row in enumerate(rows):
        try:
            texts.append(row.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"TEXT row {number} is not UTF-8: {error.reason} at byte {error.start}") from None
    return texts


class TritonPythonModel:
    def initialize(self, args):
        name = os.environ.get("MODEL_NAME") or DEFAULT_MODEL
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cuda"
        try:
            self.embed = load(name, device)
            # A model that loads and cannot run is found out here and not by the first client. So is
            # one without its tokenizer's files, for which transformers makes up an empty vocabulary.
            one, other = self.embed(["disk full", "connection refused"])
            if np.allclose(one, other):
                raise Unusable("it gives different texts one vector; are its tokenizer's files missing?")
        except Exception as error:
            raise pb_utils.TritonModelException(
                f"MODEL_NAME={name} cannot be served: {one_line(error, 600)}"
            ) from None
        pb_utils.Logger.log_info(f"serving {name}: {len(one)} dimensions, {self.embed.runtime}")

    def execute(self, requests):
        """One pass of the model over the texts of all requests; one response for each request."""
        responses = [None] * len(requests)
        texts, spans = [], []
        for index, request in enumerate(requests):
            try:
                own = texts_of(request)
            except ValueError as error:
                responses[index] = refusal(str(error), pb_utils.TritonError.INVALID_ARG)
                continue
            spans.append((index, len(texts), len(texts) + len(own)))
            texts += own
        if texts:
            try:
                vectors = self.embed(texts)
            except Exception as error:  # out of memory, say: the server goes on
                pb_utils.Logger.log_error(f"{len(texts)} texts failed: {one_line(error)}")
                for index, _, _ in spans:
                    responses[index] = refusal(f"the model failed: {one_line(error)}", pb_utils.TritonError.INTERNAL)
                return responses
            for index, start, end in spans:
                tensor = pb_utils.Tensor("EMBEDDING", vectors[start:end])
                responses[index] = pb_utils.InferenceResponse(output_tensors=[tensor])
        return responses

    def finalize(self):
        self.embed = None


def refusal(message, code):
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message, code))
