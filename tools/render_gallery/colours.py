"""Colours as numbers and as words, without Blender.

Materials take *linear* RGB; people and captions speak of hue and lightness. This
module goes from one to the other, so that a caption names the colour that was
really rendered.
"""

import colorsys

GOLDEN = 0.618034  # the step that spreads any number of hues evenly

HUE_WORDS = [  # upper limit of the hue (0-1) and its word
    (0.035, "red"),
    (0.105, "orange"),
    (0.185, "yellow"),
    (0.43, "green"),
    (0.53, "turquoise"),
    (0.70, "blue"),
    (0.86, "purple"),
    (0.945, "pink"),
    (1.01, "red"),
]


def to_linear(channel):
    """One sRGB channel (0-1) as linear light."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def to_srgb(channel):
    """One linear channel (0-1) as sRGB."""
    if channel <= 0.0031308:
        return channel * 12.92
    return 1.055 * channel ** (1 / 2.4) - 0.055


def hsv(hue, saturation, value):
    """The linear RGB of an sRGB hue, saturation and value; hue wraps round."""
    rgb = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return tuple(to_linear(channel) for channel in rgb)


def spread_hue(instance, offset=0.0):
    """A hue for an instance, far from the hues of its neighbours in number."""
    return (offset + instance * GOLDEN) % 1


def colour_word(rgb):
    """The everyday word for a linear RGB colour, e.g. ``"dark blue"``."""
    srgb = [min(max(to_srgb(c), 0.0), 1.0) for c in rgb[:3]]
    hue, saturation, value = colorsys.rgb_to_hsv(*srgb)
    if value < 0.16:
        return "black"
    if saturation < 0.13 or (saturation < 0.2 and value < 0.3):
        return "white" if value > 0.75 else "grey" if value > 0.3 else "dark grey"
    word = next(name for limit, name in HUE_WORDS if hue < limit)
    return _shade(word, hue, saturation, value)


def _shade(word, hue, saturation, value):
    """Qualify a hue word by lightness and strength."""
    if word in ("orange", "yellow") and saturation < 0.35 and value > 0.6:
        return "cream" if value > 0.85 else "beige"
    if word in ("red", "orange") and 0.012 < hue < 0.12 and value < 0.62:
        if value > 0.5 and saturation > 0.75:
            return "orange"
        return ("light " if value > 0.5 else "dark " if value < 0.35 else "") + "brown"
    if word == "yellow" and value < 0.6:
        return "olive"
    if word == "red" and saturation < 0.55 and value > 0.75:
        return "pink"
    if value < 0.42:
        return f"dark {word}"
    if saturation < 0.42 and value > 0.7:
        return f"pale {word}"
    return word
