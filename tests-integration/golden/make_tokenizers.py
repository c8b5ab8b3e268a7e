"""Make the golden files of tinytorch-tokenizers with Hugging Face's `tokenizers`.

    pip install tokenizers==0.23.3
    python tests-integration/golden/make_tokenizers.py

Run twice, it writes the same bytes. The tests of the package read the files and need no more than the package.
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-tokenizers" / "tests" / "golden"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<bos>", "<sep>", "<eos>", "<pad>"]

CORPUS = [
    "The cat sat on the mat, and the other cats sat there with it. It's late; they're asleep.",
    "What colour is the sky? The sky is blue. What colour is grass? Grass is green, isn't it?",
    "How many legs has a spider? A spider has eight legs. An insect has six, a bird has two.",
    "Water boils at 100 degrees and freezes at 0. In 1957, 1969 and 1986 nobody had read this.",
    "I'll go if you'd come; we've been waiting and I'm tired. SHOUTING DOESN'T HELP, SHE'LL SAY.",
    "def add(left, right):\n    total = left + right\n    return total\n\n\nfor n in range(10):\n\tprint(add(n, n))\n",
    "Der Fluß fließt träge durch Köln. L'été dernier, où étiez-vous ? ¿Dónde está la niña?",
    "Кошка сидит на окне. Кошка спит. 猫が窓に座っている。猫は寝ている。 고양이가 자고 있다.",
    "aaaaaaaa aaaa aaa aa abababab babab ababa aab aabaab bbbb",
    "lower lowest low newer newest new wider widest wide newly lowly widely",
    "Smile 🙂🙂 and wave 👋🏽, the family 👨‍👩‍👧‍👦 flies 🇩🇪🇯🇵.",
]

TEXTS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "The cat sat on the mat.",
    "It's they're I'll we've I'm she'd can't",
    "IT'S THEY'RE I'LL WE'VE I'M SHE'D CAN'T",
    "o'clock 'tis rock'n'roll 's 'S 'ſ ''s 'lla",
    "two  spaces   three    four     ",
    "\ttabs\t\tand\nnew\n\nlines\r\nand\r\rmore \n \n ",
    "trailing newline\n",
    "\u00a0no-break\u2003em\u3000wide\u2028line\u0085next\x0bvertical\x0cform",
    "\x1c\x1d\x1e\x1f separators are no white space",
    "\x00\x01\x7f controls \u200b\u200d\ufeff",
    "3.14 1,000,000 1e-5 0x1F 12345678901 ½ ² Ⅷ ٣٤٥ 一二三 ⑨",
    "e\u0301 \u00e9 a\u0308\u0323 \u0301alone Z\u0351\u036b\u0343",
    "naïve café Straße İstanbul ﬁﬂ ﬆ ŉ Ω Å",
    "Кошка сидит на окне",
    "猫が窓に座っている。 你好，世界！ 고양이",
    "שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก",
    "🙂 👋🏽 👨‍👩‍👧‍👦 🇩🇪🇯🇵 ☕️ 🏳️‍🌈",
    "def f(x: int) -> str:\n    return f'{x!r}' if x >= 0 else \"\"  # done\n",
    "if (a && b || !c) { x += y[i++]; } // C\n\t\t#include <stdio.h>\r\n",
    "https://example.org/path?q=1&r=%20#top user@example.org",
    "snake_case camelCase PascalCase kebab-case UPPER_CASE x_1 __init__",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababab aabaab bbbbbb babababa",
    "<bos>What colour is the sky?<sep>The sky is blue.<eos><pad><pad>",
    "<bos> <sep> text<eos>text <EOS> <eos <<eos>> <bos><bos>",
    "\U0001f9d1\u200d\U0001f680 \U00020000 \U000e0041 \U0010ffff \U00011f50 \U0001e4d0",
    "\ufffd \uffff \ufdd0 \ue000 private",
    "low lower lowest newest widest lowly",
    "the" * 40,
    "<tool> a<tool>b <mask> [x] né <|x|>",
]

LETTERS = [*"abehlostTS'' 0129\n\r\t.,!?-_<>|()éßſ½٣猫あ가\u0301\u200d🙂👋\x1c\x85\u00a0\u3000"]
LETTERS += ["  ", "   ", "\r\n", "'s", "'LL", "'ve", "the ", " cat", "<eos>", "<bos>", "<tool>"]


def random_texts(count: int) -> list[str]:
    """Short texts that mix everything that patterns tell apart, and any character at all."""
    draw = random.Random(20)
    texts = []
    for _ in range(count):
        characters = []
        for _ in range(draw.randrange(1, 24)):
            anything = chr(draw.choice([draw.randrange(0x20, 0xD800), draw.randrange(0xE000, 0x110000)]))
            characters.append(draw.choice(LETTERS) if draw.random() < 0.85 else anything)
        texts.append("".join(characters))
    return texts


def train(vocab_size: int, pre_tokenizer: pre_tokenizers.PreTokenizer, min_frequency: int = 1) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        min_frequency=min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def gpt2_style() -> Tokenizer:
    return train(400, pre_tokenizers.ByteLevel(add_prefix_space=False))


def llama3_style() -> Tokenizer:
    """Everything that Llama 3's file asks for, and added tokens of every kind that is supported."""
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = train(380, pre_tokenizers.Sequence([split, byte_level]), min_frequency=2)
    tokenizer.add_tokens([AddedToken("<tool>", normalized=True), AddedToken("né", normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<|x|>", normalized=True), AddedToken("<mask>", special=True)])
    template = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    # Only this setting makes a word that is a token skip the merges; one merge less shows the difference.
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    content["model"]["merges"].remove(["Ġt", "he"])
    return Tokenizer.from_str(json.dumps(content))


def digits_style() -> Tokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    return train(330, pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=True)]))


SETTINGS: list[dict[str, object]] = [
    {"normalizer": {"type": "NFC"}},
    {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
    *(
        {"truncation": {"direction": direction, "max_length": most, "strategy": strategy, "stride": 0}}
        for direction, most, strategy in (
            ("Right", 4, "LongestFirst"), ("Left", 5, "OnlyFirst"), ("Right", 1, "OnlyFirst"),
        )
    ),
    *(
        {
            "padding": {
                "strategy": strategy,
                "direction": direction,
                "pad_to_multiple_of": multiple,
                "pad_id": 3,
                "pad_type_id": 0,
                "pad_token": "<pad>",
            }
        }
        for strategy, direction, multiple in (
            ("BatchLongest", "Right", None), ("BatchLongest", "Left", 8), ({"Fixed": 10}, "Left", None),
            ({"Fixed": 10}, "Right", 4), ("BatchLongest", "Right", 0),
        )
    ),
]  # fmt: skip
SETTINGS.append({**SETTINGS[0], **SETTINGS[2], **SETTINGS[6]})

# e and an accent, an Angstrom sign, Hangul letters, marks out of order: what the normal form C joins, replaces, sorts.
COMPOSED = [
    "e\u0301 \u00e9 ae\u0301xa",
    "\u212b \u1112\u1161\u11ab a\u0308\u0323",
    "ne\u0301 n\u00e9",
    "\u0958 \u2126 \ufb01",
]
BATCH = ["<bos>The cat sat on the mat.", "", "Hi", *COMPOSED]


def with_settings(style: Tokenizer, settings: dict[str, object]) -> dict[str, object]:
    """What a tokenizer gives under further settings of its file, text by text and as one batch."""
    content = json.loads(style.to_str()) | settings
    accented = {"content": "e\u0301x", "single_word": False, "lstrip": False, "rstrip": False, "special": False}
    content["added_tokens"] += [{"id": style.get_vocab_size(), **accented, "normalized": True}]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    return {
        "settings": settings,
        "added": content["added_tokens"],
        "single": [tokenizer.encode(text).ids for text in BATCH],
        "plain": [tokenizer.encode(text, add_special_tokens=False).ids for text in BATCH],
        "batch": [encoding.ids for encoding in tokenizer.encode_batch(BATCH)],
    }


def members(pattern: str) -> list[list[int]]:
    """The ranges of code points that match a pattern of one character."""
    splitter = pre_tokenizers.Split(Regex(pattern), "removed")
    ranges: list[list[int]] = []
    for start in range(0, 0x110000, 0x800):
        if 0xD800 <= start < 0xE000:
            continue
        text = "".join(map(chr, range(start, start + 0x800)))
        kept = {character for piece, _ in splitter.pre_tokenize_str(text) for character in piece}
        for code in range(start, start + 0x800):
            if chr(code) in kept:
                continue
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return ranges


def main() -> None:
    FOLDER.mkdir(exist_ok=True)

    def write(name: str, content: object) -> None:
        text = json.dumps(content, separators=(",", ":"))  # ASCII, for no editor changes what it cannot show
        (FOLDER / name).write_text(text + "\n", encoding="ascii")

    texts = TEXTS + random_texts(250)
    draw = random.Random(21)
    for name, tokenizer in {"gpt2": gpt2_style(), "llama3": llama3_style(), "digits": digits_style()}.items():
        tokenizer.save(str(FOLDER / f"{name}.tokenizer.json"))
        size = tokenizer.get_vocab_size()
        streams = [[draw.randrange(size) for _ in range(draw.randrange(12))] for _ in range(60)]
        write(
            f"{name}.cases.json",
            {
                "encoded": [[text, tokenizer.encode(text).ids] for text in texts],
                "without_special": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS],
                "decoded": [
                    [ids, *(tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))]
                    for ids in streams
                ],
            },
        )
    gpt2_style().model.save(str(FOLDER))
    styles = {"gpt2": gpt2_style(), "llama3": llama3_style()}
    cases = {name: [with_settings(style, settings) for settings in SETTINGS] for name, style in styles.items()}
    write("settings.cases.json", {"texts": BATCH, "cases": cases})
    write("corpus.json", CORPUS)
    write("classes.json", {pattern: members(pattern) for pattern in (r"\p{L}", r"\p{N}", r"\s")})


if __name__ == "__main__":
    main()
