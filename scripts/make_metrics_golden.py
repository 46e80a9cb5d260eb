#!/usr/bin/env python3
"""Makes the golden numbers for the tests of crates/metrics and crates/encoders, with the standard packages.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/requirements-metrics.txt
    .venv/bin/python scripts/make_metrics_golden.py

crates/metrics/tests/golden.json:

    tokens             [{text, tokens}]: sacrebleu's tokenizer 13a
    segments           [{hypothesis, references, bleu, gleu}]: sacrebleu.sentence_bleu; nltk's sentence_gleu on 13a tokens
    corpus             {bleu, gleu} of all segments
    bert_score         [{candidate, candidate_weights, reference, reference_weights, precision, recall, f1}]: random
                       embeddings `[tokens, dim]` through bert_score.utils.greedy_cos_idf

crates/encoders/tests/fixtures/<model>: tiny random encoders, and golden.json in each:

    bert-mean          as sentence-transformers saves it: mean pooling, normalised
    bert-cls           the older form of its files: pooling of the first token, not normalised, at most 12 tokens
    deberta-v2         a bare encoder, weights under the prefix that a model with a head has

    texts, embeddings  sentence-transformers' encode (deberta-v2: the mean of transformers' hidden states)
    bert_score         [{layers, idf, scores}]: bert_score.score of the texts against their successors, without rescaling;
                       scores are [precision, recall, f1]
"""

import argparse
import json
import os
import shutil
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import bert_score
import numpy as np
import sacrebleu
import torch
import transformers
from bert_score.utils import greedy_cos_idf
from nltk.translate.gleu_score import corpus_gleu, sentence_gleu
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model

CRATES = Path(__file__).resolve().parent.parent / "crates"

SEGMENTS = [
    ("Lily went to the park with her mom.", ["Lily went to the park with her dad.", "She went to the park."]),
    ("The cat sat on the mat.", ["The cat sat on the mat."]),
    ("He was very happy, and he said \"thank you\"!", ["He was so happy that he said \"thanks\"!"]),
    ("It cost $3,000.50 in 1999-2000; that's a lot.", ["It cost $3,000.50 in 1999, which is a lot."]),
    ("Yes.", ["Yes, of course."]),
    ("no word in common here", ["Tom lost his ball."]),
    ("", ["An empty hypothesis."]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("Tom &amp; Max &quot;ran&quot; home .", ["Tom & Max \"ran\" home."]),
    ("Ein naïver Café-Besuch – 5€, bitte…", ["Ein naiver Café-Besuch - 5 €, bitte."]),
    ("  spaces   and\ttabs  ", ["spaces and tabs"]),
    ("Sue found a small red box under the old bed and opened it slowly.",
     ["Sue found a big red box under the bed and opened it.", "Under the old bed Sue found a box.", "A box!"]),
]
TEXTS = [
    "Lily went to the park with her mom.",
    "The old man opened the door, but there was nobody there.",
    "A dog!",
    "Lily and her dad went to the park and saw a little dog near the river.",
    "It rained all day, and then the sun came out.",
    "The sun came out after the rain.",
]


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def rounded(values, digits=7):
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()


# ------------------------------------------------------------------------------------------------------------ metrics


def random_bert_score(seed, candidate_tokens, reference_tokens, weighted):
    rng = np.random.default_rng(seed)

    def side(tokens):
        vectors = rng.standard_normal((tokens, 5)).astype(np.float32)
        weights = rng.random(tokens) if weighted else np.ones(tokens)
        weights[[0, -1]] = 0.0  # as the special tokens have it
        return vectors, weights.astype(np.float32)

    def tensors(vectors, weights):
        mask = torch.ones(1, len(weights))
        return torch.tensor(vectors)[None].clone(), mask, torch.tensor(weights)[None].clone()

    candidate, reference = side(candidate_tokens), side(reference_tokens)
    scores = greedy_cos_idf(*tensors(*reference), *tensors(*candidate))
    precision, recall, f1 = (score.item() for score in scores)
    return {
        "candidate": rounded(candidate[0].ravel()),
        "candidate_weights": rounded(candidate[1]),
        "reference": rounded(reference[0].ravel()),
        "reference_weights": rounded(reference[1]),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def make_metrics():
    tokenizer = Tokenizer13a()

    def tokens(text):
        return tokenizer(text.rstrip()).split()

    hypotheses = [hypothesis for hypothesis, _ in SEGMENTS]
    most = max(len(references) for _, references in SEGMENTS)
    streams = [[refs[i] if i < len(refs) else None for _, refs in SEGMENTS] for i in range(most)]
    token_references = [[tokens(reference) for reference in references] for _, references in SEGMENTS]
    golden = {
        "tokens": [{"text": text, "tokens": tokens(text)} for text in hypotheses],
        "segments": [
            {
                "hypothesis": hypothesis,
                "references": references,
                "bleu": sacrebleu.sentence_bleu(hypothesis, references).score,
                "gleu": sentence_gleu(split, tokens(hypothesis)),
            }
            for (hypothesis, references), split in zip(SEGMENTS, token_references)
        ],
        "corpus": {
            "bleu": sacrebleu.corpus_bleu(hypotheses, streams).score,
            "gleu": corpus_gleu(token_references, [tokens(hypothesis) for hypothesis in hypotheses]),
        },
        "bert_score": [
            random_bert_score(1, 7, 9, False),
            random_bert_score(2, 12, 4, True),
            random_bert_score(3, 3, 3, True),
        ],
    }
    write_json(CRATES / "metrics" / "tests" / "golden.json", golden)


# ----------------------------------------------------------------------------------------------------------- encoders


def write_tokenizer(directory):
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(TEXTS, vocab_size=110, min_frequency=1, show_progress=False)
    fast = transformers.BertTokenizerFast(tokenizer_object=tokenizer._tokenizer, do_lower_case=True, model_max_length=48)
    fast.save_pretrained(directory)
    return len(fast), fast.pad_token_id


def randomise(model, seed):
    """Weights large enough for layers to matter."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            draw = centre + 0.15 * rng.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(draw).float())
    return model.eval()


def save(model, directory, prefix=""):
    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    weights = {f"{prefix}{name}": tensor for name, tensor in load_file(path).items() if not name.startswith("pooler")}
    save_file(weights, path, metadata={"format": "pt"})


def make_bert(directory, seed):
    vocab_size, pad = write_tokenizer(directory)
    config = BertConfig(
        vocab_size=vocab_size, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=48, pad_token_id=pad,
    )
    save(randomise(BertModel(config), seed), directory)


def write_sentence_files(directory, pooling, normalise, max_tokens):
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalise else [])
    write_json(
        directory / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    (directory / "1_Pooling").mkdir()
    write_json(
        directory / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": 24,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )


def make_deberta(directory, seed):
    vocab_size, pad = write_tokenizer(directory)
    config = DebertaV2Config(
        vocab_size=vocab_size, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=48, pad_token_id=pad, type_vocab_size=0, relative_attention=True,
        max_relative_positions=-1, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True,
        pos_att_type="p2c|c2p", position_biased_input=False, layer_norm_eps=1e-7,
    )
    save(randomise(DebertaV2Model(config), seed), directory, prefix="deberta.")
    return DebertaV2Model.from_pretrained(directory).eval()


def mean_of_hidden_states(model, directory):
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).tolist() for text in TEXTS]


def bert_scores(directory, layers, idf):
    references = TEXTS[1:] + TEXTS[:1]
    scores = bert_score.score(
        TEXTS, references, model_type=str(directory), num_layers=layers, idf=idf, device="cpu", nthreads=0,
        rescale_with_baseline=False,
    )
    return {"layers": layers, "idf": idf, "scores": torch.stack(scores, dim=1).tolist()}


def make_encoders():
    fixtures = CRATES / "encoders" / "tests" / "fixtures"
    for number, name in enumerate(["bert-mean", "bert-cls", "deberta-v2"]):
        directory = fixtures / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        golden = {"texts": TEXTS}
        if name == "deberta-v2":
            embeddings = mean_of_hidden_states(make_deberta(directory, number), directory)
        else:
            make_bert(directory, number)
            pooling = name.removeprefix("bert-")
            write_sentence_files(directory, pooling, normalise=pooling == "mean", max_tokens=48 if pooling == "mean" else 12)
            embeddings = SentenceTransformer(str(directory), device="cpu").encode(TEXTS)
        golden["embeddings"] = [rounded(embedding) for embedding in embeddings]
        if name == "bert-mean":
            golden["bert_score"] = [bert_scores(directory, layers, idf) for layers in (2, 3) for idf in (False, True)]
        write_json(directory / "golden.json", golden)
        print(f"{name}: {sum(path.stat().st_size for path in directory.rglob('*') if path.is_file())} bytes")


def main():
    parser = argparse.ArgumentParser(description="Makes the fixtures of crates/metrics and crates/encoders.")
    parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    make_metrics()
    make_encoders()


if __name__ == "__main__":
    main()
