"""Typical wrong answers to every exercise, and what the check should say of each.

``WRONG_ANSWERS[notebook][exercise]`` maps an expression for ``answer``, evaluated
after the exercise's set-up cell, to a part of the sentence that the check prints.
A new exercise needs two of them at least.
"""

ANYTHING = {  # tried on every exercise: not at all what is asked for
    "None": "Received None",
    "'a string'": "Received a string",
    "'a string'.upper": "function",
    "float('nan')": "Received",
    "True": "Received a truth value",
    "[]": "Received 0 floats",
    "[[1, 2], [3]]": "differ in length",
    "{'a': 1}": "type dict",
    "object()": "type object",
    "np.zeros((2, 3))": "Received floats of shape (2, 3)",
    "[None, None]": "list of other objects",
    "dict": "class",
}

WRONG_ANSWERS = {
    "01": {
        1: {
            "[r['file'] for r in rows if r['view'] == 0]": "Nothing was found",
            "[r['file'] for r in rows if r['label'] == 'mug']": "not in the gallery",
            "[r['file'] for r in rows if r['view'] == '0']": "not mugs",
            "[r['file'] for r in rows if r['label'] == 'mug'][:2]": "other views",
            "['mug/mug_0_0.jpg', 'mug/mug_1_0.jpg']": "still missing",
            "2 * ['mug/mug_0_0.jpg']": "twice",
            "['mug_0_0.jpg']": "not values of the column",
            "[r['view'] == '0' for r in rows]": "truth values",
        },
        2: {
            "lambda p: p[: min(p.shape[:2]), : min(p.shape[:2])]": "not in the middle",
            "lambda p: p[:, 30:70]": "Tall ones",
            "lambda p: p": "(40, 100, 3) and not a square",
            "lambda p: None": "return",
            "lambda p, side: p": "TypeError",
            "lambda p: p.tolist()": "should return one",
            "lambda p: p[len(p) // 2 - 20 : len(p) // 2 + 20, "
            "p.shape[1] // 2 - 20 : p.shape[1] // 2 + 20]": "complete",
            "(40, 40, 3)": "Expected a function",
        },
        3: {
            "np.abs(small - small[0]).mean(axis=(1, 2, 3)).argmin()": "picture itself",
            "np.abs(small - small[0]).mean(axis=(1, 2, 3))[1:].argmin()": "included",
            "np.abs(small - small[0]).mean(axis=(1, 2, 3)).argmax()": "largest",
            "np.abs(small - small[0]).mean(axis=(1, 2, 3))": "Received",
            "1": "Another picture is nearer",
            "len(small)": "outside these limits",
            "3.0": "Received a float",
        },
    },
    "02": {
        1: {
            "(embeddings == 0).sum()": "count",
            "(embeddings > 0).mean()": "the others",
            "(embeddings < 0.01).mean()": "exactly 0",
            "(embeddings == 0).mean(axis=0)": "2,048 floats",
        },
        2: {
            "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
            "(instances == instances[0]), labels == labels[0], labels != labels[0])]": (
                "with itself"
            ),
            "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
            "(instances == instances[0]) & (np.arange(len(rows)) > 0), "
            "labels == labels[0], labels != labels[0])]": "pictures of the same thing",
            "(0.9, 0.5, 0.2)": "first number",
            "[(embeddings @ embeddings[0])[m].mean() for m in ((labels == labels[0]) & "
            "(instances == instances[0]) & (np.arange(len(rows)) > 0), "
            "labels == labels[0], instances != instances[0])]": "third number",
            "(0.9, 0.5)": "Received 2 floats",
            "(0.9, 0.5, float('nan'))": "NaN",
        },
        3: {
            "labels[split == 'query']": "true labels",
            "names[np.argmax(queries @ np.stack([gallery[gallery_labels == n]"
            ".mean(axis=0) for n in names]).T, axis=1)]": "length 1",
            "gallery_labels[np.argmax(queries @ gallery.T, axis=1)]": "not those of",
            "np.zeros(len(queries), dtype=int)": "whole numbers",
            "names": "Received 26 strings",
        },
    },
    "03": {
        1: {
            "np.argsort(-np.linalg.norm(embeddings - queries[3], axis=1))[:k]": (
                "farthest"
            ),
            "np.argsort(np.linalg.norm(embeddings - queries[0], axis=1))[:k]": (
                "not among"
            ),
            "np.argsort(np.linalg.norm(embeddings - queries[3], axis=1))[:k][::-1]": (
                "not nearest first"
            ),
            "np.sort(np.linalg.norm(embeddings - queries[3], axis=1))[:k]": "5 floats",
            "np.argsort(np.linalg.norm(embeddings - queries[3], axis=1))": "Received",
            "[0, 1, 2, 3, -1]": "outside these limits",
        },
        2: {
            "pair.mean(axis=0)": "length",
            "pair[0]": "equally near",
            "pair.mean(axis=1)": "Received 2 floats",
            "-pair.mean(axis=0) / np.linalg.norm(pair.mean(axis=0))": "nearer to each",
            "pair": "shape (2, 2048)",
        },
        3: {
            "np.argmax(queries @ embeddings.T, axis=1)": "own thing",
            "np.argmax(np.where(query_labels[:, None] == labels, -1, "
            "queries @ embeddings.T), axis=1)": "Only its own thing",
            "np.argsort(np.where(query_things[:, None] == things, -1, "
            "queries @ embeddings.T), axis=1)[:, -2]": "is nearer",
            "np.max(queries @ embeddings.T, axis=1)": "floats",
            "np.argmax(queries @ embeddings.T, axis=0)": "Received 910",
        },
    },
    "04": {
        1: {
            "faiss.IndexFlatL2(2048)": "holds 0 vectors",
            "faiss.IndexFlatL2": "still has to be called",
            "faiss.IndexFlatL2(100)": "dimension",
            "filled(faiss.IndexFlatIP(2048), embeddings[:100])": "inner product",
            "filled(faiss.IndexFlatL2(2048), embeddings)": "not 100",
            "filled(faiss.IndexFlatL2(2048), embeddings[100:200])": "not the first",
            "filled(faiss.IndexHNSWFlat(2048, 8), embeddings[:100])": "not flat",
            "embeddings[:100]": "floats of shape (100, 2048)",
        },
        2: {
            "search.search(query_paths[0], k=5)": "list of other objects",
            "search.search(query_paths[0], k=1)[0]": "too",
            "search.search(query_paths[0], k=len(search))[-1]": "not the best one",
            "'backpack'": "Received a string",
        },
        3: {
            "np.arange(len(embeddings))": "own neighbour",
            "index.search(embeddings, 2)[0][:, 1] >= threshold": "truth values",
            "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= 0.8)": "no such",
            "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= 0.9)": "others",
            "np.flatnonzero(index.search(embeddings, 2)[0][:, 1] >= threshold)[::-1]": (
                "not sorted"
            ),
            "index.search(embeddings, 2)[0][:, 1]": "floats",
        },
    },
    "05": {
        1: {
            "sum(ivf.invlists.list_size(c) for c in own_cells)": "centroids are not",
            "3 + sum(ivf.invlists.list_size(c) for c in own_cells)": "far away",
            "16 + round(3 * n / 16)": "equally full",
            "n": "other cells",
            "16": "Not this many",
            "200.5": "Received a float",
        },
        2: {
            "10": "Too small",
            "320": "smaller value would do",
            "50": "six values",
            "recall(40)": "Received a float",
        },
        3: {
            "'HNSW32'": "8 x 32",
            "'IVF5656,Flat'": "Uncompressed",
            "'IVF5656,PQ64np'": "So short a code",
            "'IVF65536,SQ8'": "39 vectors each",
            "'IVF5657,SQ8'": "The code fits",
            "'5656 cells, one byte'": "cells and code",
            "5656": "Received a whole number",
        },
    },
    "06": {
        1: {
            "128": "does not fit",
            "32": "more pieces would fit",
            "99": "cannot be cut",
            "64.0": "Received a float",
            "0": "outside these limits",
        },
        2: {
            "1": "Too few candidates",
            "91": "fewer candidates would do",
            "92": "outside these limits",
            "refined_recall(4)": "Received a float",
        },
        3: {
            "embeddings @ queries[7]": "exact inner products",
            "codes.sum(axis=1)": "look up",
            "small.reconstruct_n(0, n) @ queries[7] / 16": "average over the pieces",
            "[book[m] @ queries[7].reshape(16, -1)[m] for m in range(16)]": (
                "shape (16, 16)"
            ),
        },
    },
    "07": {
        1: {
            "page.mean(axis=1)": "precision@10",
            "(page.cumsum(axis=1) / np.arange(1, 11) * page).sum(axis=1) / 10": (
                "length of the page"
            ),
            "(page.cumsum(axis=1) / np.arange(1, 11) * page).sum(axis=1) / "
            "np.maximum(page.sum(axis=1), 1)": "Too high",
            "page[:, 0] / n_relevant": "at which ranks",
            "average_precision(relevance, k=10).mean()": "Received a float",
            "np.full(len(page), np.nan)": "NaN",
        },
        2: {
            "int((1.96 * deviation / 0.01) ** 2)": "Rounded down",
            "int(np.ceil((1.96 * deviation / 0.02) ** 2))": "± 0.02",
            "int(np.ceil((deviation / 0.01) ** 2))": "one standard error",
            "len(ap)": "With so many",
            "(1.96 * deviation / 0.01) ** 2": "Received a float",
        },
        3: {
            "compare_paired(ap, average_precision(rank_relevance(both @ embeddings.T, "
            "query_labels, labels, ignore=ignore)))": "other way round",
            "compare_paired(average_precision(rank_relevance(both @ embeddings.T, "
            "query_labels, labels)), ap)": "own group",
            "np.mean(ap)": "Received a float",
        },
    },
    "07b": {
        1: {
            "np.quantile(alone, 0.05)": "95 % of them",
            "alone.max()": "of them reach it",
            "np.quantile(similarities.max(axis=1), 0.95)": "of them reach it",
            "np.sort(alone)[-10:]": "10 floats",
        },
        2: {
            "(regions @ query).argmax()": "Received a whole number",
            "np.unravel_index((regions @ query).argmin(), regions.shape[:2])": (
                "smallest part"
            ),
            "(2, 2)": "outside these limits",
            "np.unravel_index((regions @ query).argmax(), regions.shape[:2])[::-1]": (
                "Another region"
            ),
        },
        3: {
            "np.searchsorted(np.cumsum(strengths**2) / np.sum(strengths**2), 0.9)": (
                "Too few"
            ),
            "np.searchsorted(np.cumsum(strengths) / strengths.sum(), 0.9) + 1": (
                "Too many"
            ),
            "0": "outside these limits",
            "0.9 * 2048": "Received a float",
        },
    },
    "08": {
        1: {
            "lambda hit: f'<p>{hit.rank}. {hit.label}</p>'": "becomes markup",
            "lambda hit: html.escape(f'<p>{hit.rank}. {hit.label}</p>')": "the whole",
            "lambda hit: f'<p>{hit.rank}. {hit.label.replace(chr(60), str())}</p>'": (
                "ampersand"
            ),
            "lambda hit: f'<p>{html.escape(hit.label)}</p>'": "form asked for",
            "lambda hit: hit": "return a string",
            "lambda hit: None": "return",
        },
        2: {
            "1": "some neighbours are missed",
            "handler.cells": "a smaller nprobe",
            "0": "outside these limits",
            "missed": "a function",
        },
        3: {
            "[hit.id for hit in handler.answer_id(0).hits]": "passes by a nearer",
            "[1, 0, 1, 0, 1]": "twice, or",
            "similarities(0)": "type dict",
            "[hit.id for hit in handler.answer_id(0, Question(k=4)).hits]": "4 whole",
        },
    },
    "09": {
        1: {
            "list(range(10))": "must not come back",
            "[0, 1, 2, 4, 5, 6, 7, 8, 9, 10]": "must not come back",
            "[0, 1, 2, 4, 5, 6, 7, 8, 11, 10]": "smallest first",
            "[1, 2, 4, 5, 6, 7, 8, 10, 11, 12]": "Not these",
            "[0, 1, 2, 4, 5, 6, 7, 8]": "Received 8 whole numbers",
        },
        2: {
            "1": "the recall is only",
            "16": "smaller nprobe",
            "17": "outside these limits",
            "recall_with(4)": "Received a float",
        },
        3: {
            "[0, 1]": "Not these two",
            "list(search.items)": "names 40",
            "[item.path for item in search.check()]": "list of other objects",
            "sorted((search.id_of(item.path) for item in search.check()), "
            "reverse=True)": "not sorted",
            "[1000, 1001]": "keys of search.items",
        },
    },
    "11": {
        1: {
            "int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]))": (
                "comes with an addition"
            ),
            "2 * int(np.prod(layer.kernel.shape))": "at every place",
            "layer.count_params()": "at every place",
            "2 * int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:]))": (
                "counted twice"
            ),
            "2 * int(np.prod(layer.kernel.shape)) * 64 * 64": "how many places",
            "0.02": "Received a float",
        },
        2: {
            "beta - mean * gamma / np.sqrt(variance + epsilon)": "own bias",
            "bias * gamma / np.sqrt(variance + epsilon) + beta": "take off first",
            "(bias - mean) * gamma / np.sqrt(variance + epsilon)": "in the end",
            "(bias - mean) * gamma / (variance + epsilon) + beta": "divide by",
            "(bias - mean) * gamma / np.sqrt(variance) + beta": "Epsilon",
            "gamma / np.sqrt(variance + epsilon)": "what the kernel",
            "bias + beta": "picture of zeros",
            "numbers": "shape (5, 4)",
        },
        3: {
            "lambda case: 1000 / (sum(case.values()) - case['threads'])": "wait for",
            "lambda case: 1000 / ((case['read'] + case['decode'] + case['resize']) "
            "/ case['threads'] + case['network'])": "take turns",
            "lambda case: 1000 / max(case['read'] + case['decode'] + case['resize'], "
            "case['network'])": "more threads",
            "lambda case: 1000 / min((case['read'] + case['decode'] + case['resize']) "
            "/ case['threads'], case['network'])": "The faster",
            "lambda case: 1 / max((case['read'] + case['decode'] + case['resize']) "
            "/ case['threads'], case['network'])": "from milliseconds",
            "lambda case: max((case['read'] + case['decode'] + case['resize']) "
            "/ case['threads'], case['network'])": "Turn it round",
            "lambda case: 1000 / case['network']": "Which of the two",
            "lambda read: read['decoding']": "KeyError",
            "[200, 100]": "Expected a function",
        },
    },
}
