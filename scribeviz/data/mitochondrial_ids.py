"""The ids that Ensembl gives the 37 mitochondrial genes of man and of mouse."""

_OF_MAN = (
    "ENSG00000198{}",
    "695 712 727 763 786 804 840 886 888 899 938",
    "ENSG00000209{}",
    "082",
    "ENSG00000210{}",
    "049 077 082 100 107 112 117 127 135 140 144 151 154 156 164 174 176 184 191 194 195 196",
    "ENSG00000211{}",
    "459",
    "ENSG00000212{}",
    "907",
    "ENSG00000228{}",
    "253",
)
# In a row, but for that of mt-Nd4l.
_OF_MOUSE = {f"ENSMUSG000000{number}" for number in range(64336, 64373)}
_OF_MOUSE = _OF_MOUSE - {"ENSMUSG00000064362"} | {"ENSMUSG00000065947"}

MITOCHONDRIAL_IDS = frozenset(_OF_MOUSE) | {
    start.format(end)
    for start, ends in zip(_OF_MAN[::2], _OF_MAN[1::2], strict=True)
    for end in ends.split()
}
