"""Typical wrong answers to the exercises of lesson 01."""

WRONG_ANSWERS = {
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
        "prepared + means": "Received floats",
        "np.rint(prepared + means).astype('uint8')": "order blue, green, red",
        "np.rint(prepared[..., ::-1] + means).clip(0, 255).astype('uint8')": "away",
        "(prepared + means)[..., ::-1].astype('uint8')": "rounding",
        "prepared.astype(int)": "outside these limits",
        "keras.applications.resnet50.preprocess_input(prepared.copy()).astype(int)": (
            "outside these limits"
        ),
    },
}
