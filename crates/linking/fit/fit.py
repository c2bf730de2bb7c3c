"""Fits the weights of the evidence matcher (../weights/all-MiniLM-L6-v2.safetensors).

    pip install -r requirements.txt
    foreshock model                     # fetches the sentence model, prints where it lies
    python fit.py --model DIR [--judge DICTIONARY.csv MESSAGES.csv] [--ablation]

What it learns, over the labelled messages of ../../../data/labelled (those named in TRAINING; `own` is
never fitted on, so that it can judge):

- two towers on top of the frozen vectors, one for messages and one for texts: a nonlinear step of rank 64
  and a sum of word vectors, trained so that the right text of a dictionary wins a softmax over all its texts;
- an event model that tells a fault from words about one (recovered, tested, renamed, within limits),
  from one, two and three words in a row, from the vectors of message and component, and from the text
  it would be taken for;
- the weights of the ranking evidence (softmax over the texts of a dictionary) and of the confidence
  (logistic).

The last two are fitted on what towers and event model say of dictionaries that they were not trained on
(three folds of dictionaries), so that confidences are those of messages and dictionaries never seen.
Everything is seeded: the same data give the same weights on the same machine.
"""

import argparse
import collections
import csv
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import optax
import snowballstemmer
import tokenizers
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
LABELLED = HERE.parents[2] / "data" / "labelled"
WEIGHTS = HERE.parent / "weights" / "all-MiniLM-L6-v2.safetensors"
TRAINING = "it cloud ot hardware networking storage systems applications enterprise".split()
FOLDS = [TRAINING[start::3] for start in range(3)]

WIDTH = 384
RANK = 64
WORD_WIDTH = 32
HIDDEN = 16
GRAM_BUCKETS = 1 << 15
# Evidence by which the texts of a side are ranked.
RANKING = ["cosine", "learned", "paired", "learned_paired", "siblings", "words", "hub"]
# Evidence by which the best text is believed.
BELIEF = ["likelihood", "margin", "cosine", "learned", "words", "event"]


# --- messages -----------------------------------------------------------------------------------

def mask(message):
    """The masked message; `domain::mask` does the same."""
    text = message.lower()
    text = re.sub(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", "ip", text)
    text = re.sub(r"\b0x[0-9a-f]+\b", " ", text)
    text = re.sub(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", " ", text)
    text = re.sub(r"[0-9]+", lambda run: run.group()[0] + "0" * min(3, len(run.group()) - 1), text)
    return " ".join(text.split())


STEMMER = snowballstemmer.stemmer("english")


def stems(masked):
    """Words (letters of ASCII, or digits) of a masked message in their order, stemmed."""
    return STEMMER.stemWords(re.findall(r"[a-z]+|[0-9]+", masked))


def words_of(masked):
    """The distinct stems that are no numbers, sorted."""
    return sorted({stem for stem in stems(masked) if not stem[0].isdigit()})


def bucket(gram):
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in gram.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % GRAM_BUCKETS


def grams_of(masked):
    """The buckets of one, two and three stems in a row, distinct, sorted."""
    row = stems(masked)
    grams = {" ".join(row[start : start + length]) for length in (1, 2, 3) for start in range(len(row) - length + 1)}
    return sorted({bucket(gram) for gram in grams})


class SentenceModel:
    """The sentence model, one text at a time: mean of the last hidden states, length 1."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(str(directory / "model.onnx"), options)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)
        self.known = {}

    def vectors(self, texts):
        for text in texts:
            if text and text not in self.known:
                ids = np.array([self.tokenizer.encode(text).ids], np.int64)
                inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
                vector = self.session.run(None, inputs)[0][0].mean(0)
                self.known[text] = vector / np.linalg.norm(vector)
        zero = np.zeros(WIDTH, np.float32)
        return np.array([self.known[text] if text else zero for text in texts], np.float32)


class Side:
    """The texts of one side of a dictionary and the messages judged by it."""

    def __init__(self, texts, messages, model):
        self.texts, self.messages = texts, messages
        self.text_masked = [mask(text) for text in texts]
        self.masked = [mask(row["message"]) for row in messages]
        self.text_vectors = model.vectors(self.text_masked)
        self.vectors = model.vectors(self.masked)
        self.components = model.vectors([mask(row["component"]) for row in messages])
        place = {text: index for index, text in enumerate(texts)}
        self.right = np.array([place[row["target_text"]] if row["kind"] != "none" else -1 for row in messages], int)
        self.grams = padded([grams_of(masked) for masked in self.masked], GRAM_BUCKETS)
        self.shared = shared_words(self.text_masked, self.masked)

    def index_words(self, vocabulary):
        known = lambda masked: [vocabulary[word] for word in words_of(masked) if word in vocabulary]
        self.text_words = padded([known(masked) for masked in self.text_masked], len(vocabulary))
        self.words = padded([known(masked) for masked in self.masked], len(vocabulary))


def padded(rows, filler):
    width = max(1, max(len(row) for row in rows))
    return np.array([row + [filler] * (width - len(row)) for row in rows], np.int32)


def shared_words(texts, messages):
    """For each message and text: the share of the text's words that the message holds, each weighed by
    how telling it is in this dictionary (inverse document frequency)."""
    text_words = [words_of(text) for text in texts]
    frequency = collections.Counter(word for words in text_words for word in words)
    telling = {word: math.log((len(texts) + 1) / (count + 0.5)) for word, count in frequency.items()}
    place = {word: index for index, word in enumerate(telling)}
    weights = np.zeros((len(texts), len(place)))
    for row, words in zip(weights, text_words):
        for word in words:
            row[place[word]] = telling[word]
    held = np.zeros((len(messages), len(place)))
    for row, message in zip(held, messages):
        for word in words_of(message):
            if word in place:
                row[place[word]] = 1
    return held @ weights.T / np.maximum(weights.sum(1), 1e-9)


def read_set(dictionary, messages, model):
    with open(dictionary, encoding="utf-8-sig") as file:
        rows = list(csv.reader(file, delimiter=";"))[1:]
    anomalies = list(dict.fromkeys(row[1].strip() for row in rows))
    problems = list(dict.fromkeys(row[3].strip() for row in rows))
    with open(messages, encoding="utf-8-sig") as file:
        labelled = list(csv.DictReader(file))
    by_level = lambda level: [row for row in labelled if row["level"] == level]
    sides = [Side(anomalies, by_level("WARNING"), model), Side(problems, by_level("ERROR"), model)]
    paired = np.zeros((len(anomalies), len(problems)))
    for row in rows:
        paired[anomalies.index(row[1].strip()), problems.index(row[3].strip())] = 1
    sides[0].paired, sides[1].paired = paired, paired.T
    sides[0].other, sides[1].other = sides[1], sides[0]
    return sides


# --- learning -----------------------------------------------------------------------------------

def unit(rows):
    return rows / jnp.sqrt((rows**2).sum(-1, keepdims=True) + 1e-12)


def dropped(key, rows, rate):
    return rows if rate == 0 else rows * jax.random.bernoulli(key, 1 - rate, rows.shape) / (1 - rate)


def bag(vectors, ids, key, rate):
    """The sum of the word vectors, by the root of one more than their number."""
    known = ids < vectors.shape[0]
    if rate:
        known &= jax.random.bernoulli(key, 1 - rate, ids.shape)
    rows = vectors[jnp.minimum(ids, vectors.shape[0] - 1)] * known[..., None]
    return rows.sum(-2) / jnp.sqrt(1 + known.sum(-1, keepdims=True))


def tower(weights, name, vectors, ids, key, rate):
    first, second = jax.random.split(key)
    step = jnp.tanh(4 * dropped(first, vectors, rate) @ weights[f"{name}_down"]) @ weights[f"{name}_up"]
    return unit(vectors + step + bag(weights["word_vectors"], ids, second, rate) @ weights["word_up"])


def fit_towers(sides, vocabulary, seed, epochs=40, rate=0.4, decay=1e-2, word_decay=3e-3):
    keys = jax.random.split(jax.random.PRNGKey(seed), 5)
    draw = lambda key, shape, scale: jax.random.normal(key, shape) * scale
    weights = {
        "message_down": draw(keys[0], (WIDTH, RANK), 0.05),
        "message_up": jnp.zeros((RANK, WIDTH)),
        "text_down": draw(keys[1], (WIDTH, RANK), 0.05),
        "text_up": jnp.zeros((RANK, WIDTH)),
        "word_vectors": draw(keys[2], (len(vocabulary), WORD_WIDTH), 0.02),
        "word_up": draw(keys[3], (WORD_WIDTH, WIDTH), 0.05),
        "log_scale": jnp.array(3.0),
    }

    def loss(weights, vectors, words, texts, text_words, right, key):
        first, second = jax.random.split(key)
        messages = tower(weights, "message", vectors, words, first, rate)
        texts = tower(weights, "text", texts, text_words, second, rate)
        likelihood = jax.nn.log_softmax(messages @ texts.T * jnp.exp(weights["log_scale"]), 1)
        size = lambda *names: sum((weights[name] ** 2).sum() for name in names)
        return (
            -jnp.take_along_axis(likelihood, right[:, None], 1).mean()
            + decay * size("message_down", "message_up", "text_down", "text_up")
            + word_decay * size("word_vectors", "word_up")
        )

    batches = []
    for side in sides:
        true = side.right >= 0
        batches.append((side.vectors[true], side.words[true], side.text_vectors, side.text_words, side.right[true]))
    optimiser = optax.adam(optax.cosine_decay_schedule(2e-3, epochs * len(batches)))
    state = optimiser.init(weights)

    @jax.jit
    def step(weights, state, batch, key):
        gradient = jax.grad(loss)(weights, *batch, key)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(weights, update), state

    random, key = np.random.default_rng(seed), keys[4]
    for _ in range(epochs):
        for index in random.permutation(len(batches)):
            key, now = jax.random.split(key)
            weights, state = step(weights, state, batches[index], now)
    return {name: np.asarray(array) for name, array in weights.items()}


def event_inputs(side, best):
    """What the event model sees of a message and the text it would be taken for."""
    text = side.text_vectors[best]
    return np.concatenate([side.vectors * 8, side.components * 8, side.vectors * text * 60, text * 8], 1).astype(np.float32)


def event_logit(weights, grams, inputs, key=None, rate=0.0):
    """Above 0: the message reads like a fault; below: like words about one, or another world."""
    known = grams < GRAM_BUCKETS
    if rate:
        first, second, third, fourth = jax.random.split(key, 4)
        known &= jax.random.bernoulli(first, 1 - rate, grams.shape)
        # Messages come without a component, too.
        named = jax.random.bernoulli(fourth, 0.8, (len(inputs), 1))
        inputs = dropped(second, inputs, rate).at[:, WIDTH : 2 * WIDTH].multiply(named)
    hidden = jax.nn.gelu(inputs @ weights["event_hidden"] + weights["event_hidden_bias"], approximate=True)
    if rate:
        hidden = dropped(third, hidden, rate)
    from_words = (weights["event_grams"][jnp.minimum(grams, GRAM_BUCKETS - 1)] * known).sum(1)
    return weights["event_bias"] + from_words + hidden @ weights["event_out"] + inputs @ weights["event_linear"]


def fit_event(parts, seed, steps=900, rate=0.4, decay=3e-4, gram_decay=2e-4):
    width = max(grams.shape[1] for grams, _, _ in parts)
    widen = lambda grams: np.pad(grams, ((0, 0), (0, width - grams.shape[1])), constant_values=GRAM_BUCKETS)
    grams = jnp.array(np.concatenate([widen(grams) for grams, _, _ in parts]))
    inputs = jnp.array(np.concatenate([inputs for _, inputs, _ in parts]))
    is_event = jnp.array(np.concatenate([is_event for _, _, is_event in parts]), jnp.float32)
    keys = jax.random.split(jax.random.PRNGKey(seed), 3)
    weights = {
        "event_grams": jnp.zeros(GRAM_BUCKETS),
        "event_hidden": jax.random.normal(keys[0], (4 * WIDTH, HIDDEN)) * 0.05,
        "event_hidden_bias": jnp.zeros(HIDDEN),
        "event_out": jax.random.normal(keys[1], (HIDDEN,)) * 0.1,
        "event_linear": jnp.zeros(4 * WIDTH),
        "event_bias": jnp.array(0.0),
    }

    def loss(weights, grams, inputs, is_event, key):
        logit = event_logit(weights, grams, inputs, key, rate)
        size = lambda *names: sum((weights[name] ** 2).sum() for name in names)
        penalty = gram_decay * size("event_grams") + decay * size("event_hidden", "event_out", "event_linear")
        return (jax.nn.softplus(logit) - is_event * logit).mean() + penalty

    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    state = optimiser.init(weights)

    @jax.jit
    def step(weights, state, key):
        first, second = jax.random.split(key)
        pick = jax.random.randint(first, (1024,), 0, len(is_event))
        gradient = jax.grad(loss)(weights, grams[pick], inputs[pick], is_event[pick], second)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(weights, update), state

    key = keys[2]
    for _ in range(steps):
        key, now = jax.random.split(key)
        weights, state = step(weights, state, now)
    return {name: np.asarray(array) for name, array in weights.items()}


# --- evidence -----------------------------------------------------------------------------------

def ranking_evidence(side, towers):
    """For each message and text the evidence named in RANKING."""
    other, zero = side.other, jax.random.PRNGKey(0)
    learn = lambda name, vectors, words: np.asarray(tower(towers, name, vectors, words, zero, 0.0))
    message = learn("message", side.vectors, side.words)
    text = learn("text", side.text_vectors, side.text_words)
    other_text = learn("text", other.text_vectors, other.text_words)
    number = np.maximum(side.paired.sum(1), 1)
    to_paired = lambda rows, texts: rows @ texts.T @ side.paired.T / number
    sibling = (side.paired @ side.paired.T > 0) & ~np.eye(len(text), dtype=bool)
    learned = message @ text.T
    siblings = np.array([np.where(sibling, row, 0).max(1) for row in learned])
    hub = (side.text_vectors @ side.text_vectors.T).mean(1)
    return np.stack([
        side.vectors @ side.text_vectors.T,
        learned,
        to_paired(side.vectors, other.text_vectors),
        to_paired(message, other_text),
        np.maximum(siblings, 0),
        side.shared,
        np.broadcast_to(hub, learned.shape),
    ], -1)


def fit_ranking(evidence, used, steps=250):
    """Softmax regression over the texts of a side."""
    cases = [(jnp.array(rows[right >= 0]), jnp.array(right[right >= 0])) for rows, right in evidence]
    number = sum(len(right) for _, right in cases)

    def loss(weights):
        miss = lambda rows, right: -jnp.take_along_axis(jax.nn.log_softmax(rows @ (weights * used), 1), right[:, None], 1).sum()
        return sum(miss(*case) for case in cases) / number + 1e-5 * (weights**2).sum()

    weights, optimiser = jnp.zeros(len(RANKING)), optax.adam(0.5)
    state, step = optimiser.init(weights), jax.jit(jax.grad(loss))
    for _ in range(steps):
        update, state = optimiser.update(step(weights), state)
        weights = optax.apply_updates(weights, update)
    return np.asarray(weights * used)


def believe(side, evidence, ranking, event):
    """For each message its best text, and the evidence named in BELIEF."""
    score = evidence @ ranking
    each = np.arange(len(score))
    order = np.argsort(-score, 1, kind="stable")
    best = order[:, 0]
    top = score[each, best]
    likelihood = top - np.log(np.exp(score - top[:, None]).sum(1)) - top
    second = score[each, order[:, 1]]
    of_best = lambda name: evidence[each, best, RANKING.index(name)]
    logit = np.asarray(event_logit(event, side.grams, event_inputs(side, best)))
    return best, np.stack([likelihood, np.minimum(top - second, 5.0), of_best("cosine"), of_best("learned"), of_best("words"), logit], 1)


def fit_belief(rows, right, used, steps=600):
    """Logistic regression on standardised evidence; returns slope, mean and spread of each piece of evidence, and
    the log-odds of average evidence."""
    mean, spread = rows.mean(0), rows.std(0) + 1e-9
    inputs, right = jnp.array((rows - mean) / spread * used), jnp.array(right, jnp.float32)

    def loss(weights):
        logit = inputs @ weights[:-1] + weights[-1]
        return (jax.nn.softplus(logit) - right * logit).mean() + 1e-4 * (weights[:-1] ** 2).sum()

    weights, optimiser = jnp.zeros(len(BELIEF) + 1), optax.adam(0.1)
    state, step = optimiser.init(weights), jax.jit(jax.grad(loss))
    for _ in range(steps):
        update, state = optimiser.update(step(weights), state)
        weights = optax.apply_updates(weights, update)
    weights = np.asarray(weights, np.float64)
    return np.stack([weights[:-1] / spread * used, mean, spread], 1), float(weights[-1])


def confidence(rows, belief):
    scale, base = belief
    return 1 / (1 + np.exp(-((rows - scale[:, 1]) @ scale[:, 0] + base)))


# --- judging ------------------------------------------------------------------------------------

def measure(hit, true, sure, threshold):
    said = sure >= threshold
    precision = hit[said].mean() if said.any() else 0.0
    recall = (hit & said).sum() / true.sum()
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return precision, recall, f1, said[~true].mean()


def summary(name, hit, true, sure, threshold=None):
    thresholds = np.arange(0.02, 0.99, 0.01)
    best = max(thresholds, key=lambda value: measure(hit, true, sure, value)[2])
    line = f"{name:14} top-1 {hit[true].mean():.3f}"
    for label, value in (("@", threshold or 0.5), ("best", best)):
        precision, recall, f1, decoys = measure(hit, true, sure, value)
        line += f" | {label} {value:.2f} P {precision:.2f} R {recall:.2f} F1 {f1:.3f} decoys {decoys:.2f}"
    print(line, flush=True)
    return best


class Fitted:
    """Towers and event model of one fold, or of all training sets."""

    def __init__(self, sets, names, seed, vocabulary):
        sides = [side for name in names for side in sets[name]]
        self.towers = fit_towers(sides, vocabulary, seed)
        parts = []
        for side in sides:
            best = np.argmax(side.vectors @ side.text_vectors.T, 1)
            parts.append((side.grams, event_inputs(side, best), side.right >= 0))
        self.event = fit_event(parts, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="directory with model.onnx and tokenizer.json")
    parser.add_argument("--judge", nargs=2, metavar=("DICTIONARY", "MESSAGES"), help="one more labelled set to judge by, never fitted on")
    parser.add_argument("--ablation", action="store_true", help="also fit without each piece of evidence, and print what it brings")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    model = SentenceModel(arguments.model)
    sets = {name: read_set(LABELLED / f"{name}_dictionary.csv", LABELLED / f"{name}_messages.csv", model) for name in TRAINING}
    judges = {"own": read_set(LABELLED.parent / "anomalies_problems.csv", LABELLED / "own_messages.csv", model)}
    if arguments.judge:
        judges["judge"] = read_set(*arguments.judge, model)

    counts = collections.Counter()
    for name in TRAINING:
        for side in sets[name]:
            for masked in side.masked + side.text_masked:
                counts.update(words_of(masked))
    vocabulary = {word: index for index, word in enumerate(sorted(word for word, count in counts.items() if count >= 2))}
    for sides in [*sets.values(), *judges.values()]:
        for side in sides:
            side.index_words(vocabulary)
    print(f"{sum(len(side.right) for name in TRAINING for side in sets[name])} messages, {len(vocabulary)} words", flush=True)

    unseen = {}
    for number, fold in enumerate(FOLDS):
        fitted = Fitted(sets, [name for name in TRAINING if name not in fold], arguments.seed + number, vocabulary)
        unseen.update({name: fitted for name in fold})
        print(f"fold {number + 1} of {len(FOLDS)} fitted", flush=True)
    whole = Fitted(sets, TRAINING, arguments.seed, vocabulary)
    unseen.update({name: whole for name in judges})
    everything = {**sets, **judges}
    evidence = {name: [ranking_evidence(side, unseen[name].towers) for side in sides] for name, sides in everything.items()}

    def fit_and_judge(title, without=(), show=False):
        rank_used = np.array([0.0 if name in without else 1.0 for name in RANKING])
        belief_used = np.array([0.0 if name in without else 1.0 for name in BELIEF])
        ranking = fit_ranking([(rows, side.right) for name in TRAINING for rows, side in zip(evidence[name], sets[name])], rank_used)
        believed = {}
        for name, sides in everything.items():
            parts = [believe(side, rows, ranking, unseen[name].event) for side, rows in zip(sides, evidence[name])]
            right = np.concatenate([side.right for side in sides])
            best = np.concatenate([best for best, _ in parts])
            believed[name] = (np.concatenate([rows for _, rows in parts]), best == right, right >= 0)
        join = lambda names, index: np.concatenate([believed[name][index] for name in names])
        belief = fit_belief(join(TRAINING, 0), join(TRAINING, 1), belief_used)
        # Each fold judged by a belief that was not fitted on it.
        sure = {}
        for fold in FOLDS:
            rest = [name for name in TRAINING if name not in fold]
            of_rest = fit_belief(join(rest, 0), join(rest, 1), belief_used)
            sure.update({name: confidence(believed[name][0], of_rest) for name in fold})
        print(title)
        at = summary("  unseen", join(TRAINING, 1), join(TRAINING, 2), np.concatenate([sure[name] for name in TRAINING]))
        for name in judges:
            summary(f"  {name}", believed[name][1], believed[name][2], confidence(believed[name][0], belief), at)
        if show:
            for name in TRAINING:
                summary(f"  {name}", believed[name][1], believed[name][2], sure[name], at)
            print("  ranking", dict(zip(RANKING, ranking.round(2))))
            print("  belief ", dict(zip(BELIEF, belief[0][:, 0].round(3))), round(belief[1], 3))
        return ranking, belief

    ranking, belief = fit_and_judge("all evidence", show=True)
    half = lambda array: np.asarray(array, np.float16)
    tensors = {name: half(array) for name, array in {**whole.towers, **whole.event}.items() if name not in ("log_scale", "event_bias")}
    tensors["event_bias"] = np.array([whole.event["event_bias"]], np.float32)
    tensors["ranking"] = ranking.astype(np.float32)
    tensors["belief"] = belief[0].astype(np.float32)
    tensors["base"] = np.array([belief[1]], np.float32)
    tensors["words"] = np.frombuffer("\n".join(vocabulary).encode(), np.uint8)
    WEIGHTS.parent.mkdir(exist_ok=True)
    save_file(tensors, WEIGHTS)
    print(f"{WEIGHTS} {WEIGHTS.stat().st_size / 1024:.0f} KB", flush=True)
    if arguments.ablation:
        for name in dict.fromkeys(RANKING + BELIEF):
            fit_and_judge(f"without {name}", (name,))


if __name__ == "__main__":
    main()
