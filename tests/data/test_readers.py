import gzip
import json
import pickle
import warnings
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from scribeviz.data.counts import CountsError, CountsWarning
from scribeviz.data.examples import demo
from scribeviz.data.readers import (
    FORMATS,
    as_counts,
    format_of,
    known_suffixes,
    open_file,
    read,
)
from scribeviz.data.sources import count_sources

COUNTS = np.array([[0, 2, 1, 0], [4, 0, 1, 0], [0, 0, 7, 0]])
GENES = ["ACTB", "MT-CO1", "RPL13A", "Zzz1"]
IDS = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003", "ENSG00000000004"]
CELLS = ["AAACCTGAGAAACCAT-1", "AAACCTGAGAAACCAG-1", "AAACCTGAGAAACCTT-1"]
FRAME = pd.DataFrame(COUNTS, index=CELLS, columns=GENES)


def write_adata(path):
    adata = anndata.AnnData(
        sp.csr_matrix(COUNTS.astype("float32")),
        obs=pd.DataFrame({"type": pd.Categorical(["B", "T", "B"])}, index=CELLS),
        var=pd.DataFrame({"gene_ids": IDS}, index=GENES),
    )
    (adata.write_zarr if path.suffix == ".zarr" else adata.write_h5ad)(path)
    return path


def write_h5mu(path):
    with h5py.File(path, "w") as file:
        anndata.io.write_elem(
            file.create_group("mod"),
            "rna",
            anndata.read_h5ad(write_adata(path.with_suffix(".tmp"))),
        )
    return path


def write_zip(path, inside):
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(inside, inside.name)
    return path


def write_10x_folder(path, *, features="features.tsv", compress=True, prefix="", columns=3):
    path.mkdir(parents=True, exist_ok=True)
    rows = zip(IDS, GENES, ["Gene Expression"] * 4, strict=True)
    names = "".join("\t".join(row[:columns]) + "\n" for row in rows)
    scipy.io.mmwrite(path / "m.mtx", sp.coo_matrix(COUNTS.T))
    texts = {
        "matrix.mtx": (path / "m.mtx").read_text(),
        "barcodes.tsv": "".join(f"{cell}\n" for cell in CELLS),
        features: names,
    }
    (path / "m.mtx").unlink()
    for name, text in texts.items():
        if compress:
            (path / f"{prefix}{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (path / f"{prefix}{name}").write_text(text)
    return path


def write_10x_h5(path, *, version=3, genome="GRCh38"):
    # Genes in columns of CSC: the indptr of cells, as Cell Ranger writes it.
    matrix = sp.csc_matrix(COUNTS.T)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else genome)
        group["data"] = matrix.data.astype("int32")
        group["indices"] = matrix.indices.astype("int64")
        group["indptr"] = matrix.indptr.astype("int64")
        group["shape"] = np.array(matrix.shape, dtype="int32")
        group["barcodes"] = np.array(CELLS, dtype="S")
        if version == 3:
            group["features/id"] = np.array(IDS, dtype="S")
            group["features/name"] = np.array(GENES, dtype="S")
            group["features/feature_type"] = np.array(["Gene Expression"] * 4, dtype="S")
            group["features/genome"] = np.array([genome] * 4, dtype="S")
        else:
            group["genes"] = np.array(IDS, dtype="S")
            group["gene_names"] = np.array(GENES, dtype="S")
    return path


def write_loom(path):
    with warnings.catch_warnings():  # loompy's own
        warnings.simplefilter("ignore")
        import loompy

        loompy.create(
            str(path),
            {"": COUNTS.T, "unspliced": 2 * COUNTS.T},
            {"Gene": np.array(GENES), "Accession": np.array(IDS)},
            {"CellID": np.array(CELLS), "type": np.array(["B", "T", "B"]), "depth": np.arange(3)},
        )
    return path


def write_text(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def csv(frame, **keywords):
    return frame.to_csv(**keywords)


WRITERS = {
    "h5ad": lambda at: write_adata(at / "a.h5ad"),
    "zarr": lambda at: write_adata(at / "a.zarr"),
    "10x folder": lambda at: write_10x_folder(at / "v3"),
    "10x folder, plain": lambda at: write_10x_folder(at / "star", compress=False),
    "10x folder, old": lambda at: write_10x_folder(
        at / "v2", features="genes.tsv", compress=False, columns=2
    ),
    "10x folder, prefix": lambda at: write_10x_folder(at / "geo", prefix="GSM1_"),
    "10x h5": lambda at: write_10x_h5(at / "v3.h5"),
    "10x h5, old": lambda at: write_10x_h5(at / "v2.h5", version=2),
    "loom": lambda at: write_loom(at / "a.loom"),
    "csv": lambda at: write_text(at / "a.csv", csv(FRAME)),
    "csv, genes in rows": lambda at: write_text(at / "a.csv", csv(FRAME.T)),
    "csv.gz": lambda at: write_text(at / "a.csv.gz", csv(FRAME)),
    "tsv": lambda at: write_text(at / "a.tsv", csv(FRAME, sep="\t")),
    "txt.gz": lambda at: write_text(at / "a.txt.gz", csv(FRAME.T, sep="\t")),
    "csv, semicolons": lambda at: write_text(at / "a.csv", csv(FRAME, sep=";")),
    "csv, quoted": lambda at: write_text(at / "a.csv", csv(FRAME, quoting=1)),
    "csv, byte order mark": lambda at: write_text(at / "a.csv", "\ufeff" + csv(FRAME)),
    "csv, Windows lines": lambda at: write_text(at / "a.csv", csv(FRAME, lineterminator="\r\n")),
    "csv, comment and blank lines": lambda at: write_text(
        at / "a.csv", "# made by hand\n\n" + csv(FRAME).replace("\n", "\n\n")
    ),
    "txt, as R writes it": lambda at: write_text(
        at / "a.txt",
        " ".join(f'"{gene}"' for gene in GENES)
        + "\n"
        + csv(FRAME, sep=" ", header=False, quoting=2),
    ),
    "csv, named corner": lambda at: write_text(at / "a.csv", csv(FRAME, index_label="cell_id")),
    "csv, long": lambda at: write_text(
        at / "a.csv",
        "cell,gene,count\n" + "".join(f"{c},{g},{FRAME.loc[c, g]}\n" for c in CELLS for g in GENES),
    ),
    "h5mu": lambda at: write_h5mu(at / "a.h5mu"),
    "zip": lambda at: write_zip(at / "a.zip", write_adata(at / "a.h5ad")),
}


def test_every_format_is_written_here(tmp_path):
    found = set()
    for name, write in WRITERS.items():
        place = tmp_path / name
        place.mkdir()
        found.add(format_of(write(place)).key)
    assert found == FORMATS.keys()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_format_comes_back(write, tmp_path):
    path = write(tmp_path)
    counts = read(path)
    assert counts.matrix.toarray().tolist() == COUNTS.tolist()
    assert counts.genes.tolist() == GENES
    assert counts.cells.tolist() == CELLS
    assert counts.name == path.name
    assert any("1 of 4 genes have no counts" in note for note in counts.notes)
    if not path.name.endswith((".csv", ".csv.gz", ".tsv", ".txt", ".txt.gz")):
        assert counts.gene_ids.tolist() == IDS


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_nothing_warns(write, tmp_path):
    path = write(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CountsWarning)  # the notes
        read(str(path))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_matrices_stay_sparse(write, tmp_path):
    assert sp.issparse(open_file(write(tmp_path)).X)


def test_what_is_known_about_cells_comes_along(tmp_path):
    assert read(write_adata(tmp_path / "a.h5ad")).obs["type"].tolist() == ["B", "T", "B"]
    loom = read(write_loom(tmp_path / "a.loom"))
    assert loom.obs["type"].tolist() == ["B", "T", "B"]
    assert loom.obs["depth"].tolist() == [0, 1, 2]


def test_layers_can_be_chosen(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    assert count_sources(open_file(path)) == {"X": "", "unspliced": ""}
    assert read(path, "unspliced").matrix.sum() == 2 * COUNTS.sum()
    assert as_counts(path, layer="unspliced").matrix.sum() == 2 * COUNTS.sum()


def test_as_counts_takes_paths(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    assert as_counts(path).name == "a.h5ad"
    assert as_counts(str(path), name="mine").name == "mine"
    assert as_counts(open_file(path)).fingerprint == read(path).fingerprint


def test_real_counts_from_a_file(tmp_path, shared_data):
    real = shared_data / "pbmc3k_raw.h5ad"
    if real.exists():
        path, size, n_seen, labels = real, (2_700, 32_738), 16_634, "seurat_annotations"
    else:
        example = demo()
        path, size, n_seen, labels = tmp_path / "demo.h5ad", (700, 765), 765, "bulk_labels"
        matrix = sp.csr_matrix(example.matrix)
        obs = pd.DataFrame({labels: example.obs[labels]}, index=example.cells)
        var = pd.DataFrame(index=example.genes)
        anndata.AnnData(matrix, obs=obs, var=var).write_h5ad(path)
    counts = read(path)
    assert (counts.n_cells, counts.n_genes) == size
    assert counts.seen_genes().n_genes == n_seen
    assert labels in counts.obs


# --- refused --------------------------------------------------------------------------------------


def refused(path, says):
    with pytest.raises(CountsError, match=says) as caught:
        read(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value


def test_a_missing_file(tmp_path):
    refused(tmp_path / "a.h5ad", "a.h5ad does not exist")


def test_a_name_that_no_file_can_have(tmp_path):
    refused(tmp_path / ("x" * 5000 + ".csv"), "csv cannot be read")
    refused(tmp_path / "a\0.csv", "does not exist")


def test_an_unknown_suffix(tmp_path):
    says = r"a.xlsx is of no known format; names must end in \.h5ad, \.h5mu, \.h5, \.loom, \.zarr"
    refused(write_text(tmp_path / "a.xlsx", "x"), says)
    assert set(known_suffixes(folders=False)) == set(known_suffixes()) - {".zarr"}


def test_a_matrix_file_alone(tmp_path):
    refused(write_text(tmp_path / "matrix.mtx", "x"), "choose the folder it lies in")


def test_an_unknown_folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    refused(
        tmp_path / "pictures", "the folder pictures holds no counts: a 10x folder has matrix.mtx"
    )


@pytest.mark.parametrize("name", ["a.h5ad", "a.h5", "a.loom", "a.csv", "a.csv.gz"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, rf"{name} is empty \(0 bytes\); copy or download it again")


@pytest.mark.parametrize("suffix", [".h5ad", ".h5", ".loom"])
def test_a_file_that_is_not_hdf5(tmp_path, suffix):
    path = write_text(tmp_path / f"a{suffix}", "<html>not found</html>")
    refused(path, "is not an HDF5 file, whatever its name says")


@pytest.mark.parametrize("write", [write_adata, write_10x_h5, write_loom])
def test_a_truncated_file(tmp_path, write):
    suffix = {write_adata: ".h5ad", write_10x_h5: ".h5", write_loom: ".loom"}[write]
    path = write(tmp_path / f"a{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    error = refused(path, f"a{suffix} is cut short or damaged; copy or download it again")
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.h5ad", "is HDF5 but holds no AnnData"),
        ("a.h5", "is HDF5 but no 10x matrix"),
        ("a.loom", "is HDF5 but no loom file .'col_attrs' is missing"),
    ],
)
def test_hdf5_of_another_kind(tmp_path, name, says):
    with h5py.File(tmp_path / name, "w") as file:
        file["something"] = np.arange(3)
    refused(tmp_path / name, says)


def test_an_anndata_under_another_name_is_read(tmp_path):
    path = write_adata(tmp_path / "a.h5ad").rename(tmp_path / "a.h5")
    assert read(path).matrix.toarray().tolist() == COUNTS.tolist()


def test_an_anndata_with_a_broken_part(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        del file["X/indptr"]
    error = refused(path, "a.h5ad cannot be read: it is damaged, or of another kind")
    assert error.__cause__ is not None


def test_hdf5_that_points_at_other_files(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    write_adata(tmp_path / "secret.h5ad")
    with h5py.File(path, "r+") as file:
        file["layers/stolen"] = h5py.ExternalLink("secret.h5ad", "/X")
    refused(path, "a.h5ad points at other files; write it anew")


def test_hdf5_that_takes_its_values_from_other_files(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    (tmp_path / "secret").write_bytes(b"x" * 12)
    with h5py.File(path, "r+") as file:
        stored = [(str(tmp_path / "secret"), 0, 12)]
        file["layers"].create_dataset("stolen", (3, 4), dtype="u1", external=stored)
    refused(path, "a.h5ad points at other files")


def test_an_anndata_of_a_later_version(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        file["obs"].attrs["encoding-version"] = "9.0.0"
    refused(path, "in a way that the installed anndata does not know; update anndata")


def test_hdf5_that_is_too_deep_to_walk(tmp_path):
    path = write_adata(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        group = file["uns"]
        for _ in range(3_000):
            group = group.create_group("g")
    refused(path, "a.h5ad holds groups in more than 64 groups")


def test_groups_that_hold_each_other_are_walked_once(tmp_path):
    path = write_loom(tmp_path / "a.loom")
    with h5py.File(path, "r+") as file:
        file["col_attrs/up"] = file["/"]
        file["col_attrs/nowhere"] = h5py.SoftLink("/nowhere")
    assert read(path).matrix.toarray().tolist() == COUNTS.tolist()


@pytest.mark.parametrize("shape", [(10**9, 10**9), (10**9,)])
def test_hdf5_that_promises_more_than_it_can_hold(tmp_path, shape):
    path = write_loom(tmp_path / "a.loom")
    with h5py.File(path, "r+") as file:
        del file["matrix"]
        file.create_dataset("matrix", shape, "f4", chunks=(1000,) * len(shape))
    refused(
        path, "a.loom says that '/matrix' holds 1,000,000,000.* values, which a file of its size"
    )


def test_zarr_that_promises_more_than_it_can_hold(tmp_path):
    path = write_adata(tmp_path / "a.zarr")
    metadata = next(file for file in path.glob("X/data/*") if file.name in {".zarray", "zarr.json"})
    content = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(content | {"shape": [10**12]}))
    refused(path, r"a.zarr says that 'X/data/.*' holds 1,000,000,000,000 values")


@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_a_10x_h5_whose_indices_lead_out_of_it(tmp_path, part):
    path = write_10x_h5(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file[f"matrix/{part}"][1] = 2**30
    refused(path, "is no whole sparse matrix")


def test_sentences_are_plain_and_of_a_length_that_is_read():
    error = CountsError(f"the gene {'x' * 5_000}\u202e\x07\n is no gene.")
    assert str(error).isprintable()
    assert len(str(error)) < 1_000
    assert str(error).startswith("the gene x")
    assert str(error).endswith(" is no gene.")


def test_zarr_of_another_kind(tmp_path):
    import zarr

    zarr.open_group(tmp_path / "a.zarr", mode="w").create_array("x", data=np.arange(3))
    refused(tmp_path / "a.zarr", "is a Zarr store but holds no AnnData")
    (tmp_path / "b.zarr").mkdir()
    refused(tmp_path / "b.zarr", "is no Zarr store: it has neither zarr.json nor .zgroup")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_zarr_with_a_pickle_is_not_opened(tmp_path):
    path = write_adata(tmp_path / "a.zarr")
    trap = path / "uns" / "trap"
    trap.mkdir()
    (trap / ".zarray").write_text(
        json.dumps(
            {
                "zarr_format": 2,
                "shape": [1],
                "chunks": [1],
                "dtype": "|O",
                "fill_value": None,
                "order": "C",
                "compressor": None,
                "filters": [{"id": "pickle", "protocol": 5}],
            }
        )
    )
    (trap / "0").write_bytes(pickle.dumps(np.array([Trap()], dtype=object)))
    refused(path, "holds pickled objects, which could run any program")


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("matrix.mtx.gz", "matrix.mtx"),
        ("barcodes.tsv.gz", "barcodes.tsv"),
        ("features.tsv.gz", r"features.tsv \(or genes.tsv\)"),
    ],
)
def test_a_10x_folder_that_lacks_a_file(tmp_path, file, named):
    path = write_10x_folder(tmp_path / "run")
    (path / file).unlink()
    refused(path, f"the 10x folder run has no {named}, plain or .gz; put it there")


def test_a_10x_folder_with_an_empty_file(tmp_path):
    path = write_10x_folder(tmp_path / "run", compress=False)
    (path / "barcodes.tsv").write_text("")
    refused(path, r"run/barcodes.tsv is empty \(0 bytes\)")


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("barcodes.tsv", "A\nB\n", "the matrix has 3 cells, but 2 are named"),
        ("features.tsv", "g1\tA\tGene Expression\n", "the matrix has 4 genes, but 1 are named"),
        ("matrix.mtx", "hello\n", "run/matrix.mtx is damaged or cut short"),
    ],
)
def test_a_10x_folder_whose_parts_do_not_match(tmp_path, file, text, says):
    path = write_10x_folder(tmp_path / "run", compress=False)
    (path / file).write_text(text)
    refused(path, says)


@pytest.mark.parametrize("file", ["matrix.mtx.gz", "barcodes.tsv.gz"])
def test_a_10x_folder_with_a_truncated_file(tmp_path, file):
    path = write_10x_folder(tmp_path / "run")
    (path / file).write_bytes((path / file).read_bytes()[:-20])
    refused(path, f"run/{file}")


def test_two_10x_matrices_in_one_folder(tmp_path):
    write_10x_folder(tmp_path / "geo", prefix="GSM1_")
    refused(
        write_10x_folder(tmp_path / "geo", prefix="GSM2_"), "several 10x matrices .*'GSM1_', 'G"
    )


def test_gene_names_that_look_like_missing_values_stay(tmp_path):
    path = write_10x_folder(tmp_path / "run", compress=False)
    text = (path / "features.tsv").read_text().replace("Zzz1", "NA")
    (path / "features.tsv").write_text(text)
    assert read(path).genes.tolist() == [*GENES[:3], "NA"]


def test_features_that_are_no_genes_are_left_out(tmp_path):
    path = write_10x_folder(tmp_path / "run", compress=False)
    lines = (path / "features.tsv").read_text().splitlines()
    lines[0] = "CD3\tCD3\tAntibody Capture"
    (path / "features.tsv").write_text("\n".join(lines))
    counts = read(path)
    assert counts.genes.tolist() == GENES[1:]
    assert counts.matrix.toarray().tolist() == COUNTS[:, 1:].tolist()
    assert counts.notes[0] == "1 feature that is no gene was left out: Antibody Capture."


def test_a_10x_h5_whose_parts_do_not_match(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(["A", "B"], dtype="S")
    refused(path, "a.h5: the matrix has 3 cells, but 2 are named")


@pytest.mark.parametrize(("version", "part"), [(3, "matrix/features/id"), (2, "GRCh38/genes")])
def test_a_10x_h5_that_lacks_a_part(tmp_path, version, part):
    path = write_10x_h5(tmp_path / "a.h5", version=version)
    with h5py.File(path, "r+") as file:
        del file[part]
    refused(path, f"a.h5 is no whole 10x matrix: {part} is missing")


def test_a_10x_h5_of_two_species(tmp_path):
    path = write_10x_h5(tmp_path / "a.h5", version=2)
    with h5py.File(path, "r+") as file:
        file.copy("GRCh38", "mm10")
    refused(path, r"holds 2 genomes \(GRCh38, mm10\)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "cell,A,B\nc1,1,high\n",
            "the text 'high' in row 'c1', column 'B', where a count should be",
        ),
        ("cell,A,B\nc1,1,2\nc2,NA,1\n", "the text 'NA' in row 'c2', column 'A'"),
        ("cell,A,B\nc1,1,\n", "nothing in row 'c1', column 'B'"),
        ("A,B\n1,2\n3,x\n", "the text 'x' in line 3, column 'B'"),
        ("cell,A,B\nc1,1,2\nc2,1\n", "line 3 of a.csv has 2 fields where 3 are expected"),
        ("cell,A,B\nc1,1,2\n\nc2,1,2,3\n", "line 4 of a.csv has 4 fields where 3 are expected"),
        ("cell,A,B\nc1,1,2,3,4\n", "line 2 of a.csv has 5 fields where 3 are expected"),
        ("cell,A,B\nc1,1,2\ncell,A,B\nc2,1,2\n", "line 3 of a.csv repeats the first line"),
        ("cell,A,B\n", "has fewer than two lines"),
        ("cell\nc1\nc2\n", "has a single column; part the fields by comma, tab, semicolon"),
        ("5,7,1\n3,4,5\n", "the first line of a.csv holds numbers; put a line above it"),
        ("A,B\nc1,1_000,2\n", "the text '1_000'"),
        ("a\0b,c\n1,2\n", "a.csv is not plain text; save it as comma-separated values"),
        ("cell,A,B\nc1,1,0.5\nc2,1,2\n", "fractions .first: 0.5 for gene 'B' in cell 'c1'"),
        ("cell,A,B\nc1,1,nan\nc2,1,2\n", "missing or infinite .first: nan for gene 'B'"),
        ("cell,A,B\nc1,1,-2\n", "negative values"),
    ],
)
def test_a_bad_table(tmp_path, text, says):
    refused(write_text(tmp_path / "a.csv", text), says)


def test_a_table_that_is_not_compressed_as_its_name_says(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_text("cell,A\nc1,1\n")
    refused(path, "is not a whole .gz file")
    path.write_bytes(gzip.compress(csv(FRAME).encode())[:-12])
    refused(path, "is not a whole .gz file")


def test_what_is_wrong_is_found_in_later_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("scribeviz.data.text_tables._VALUES_PER_BLOCK", 6)
    rows = [f"c{i},1,2" for i in range(20)]
    path = write_text(tmp_path / "a.csv", "\n".join(["cell,A,B", *rows]))
    assert read(path).matrix.toarray().tolist() == [[1, 2]] * 20
    rows[17] = "c17,1,x"
    write_text(path, "\n".join(["cell,A,B", *rows]))
    refused(path, "the text 'x' in row 'c17', column 'B'")


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (FRAME, "Rows were read as cells and columns as genes, by their names."),
        (FRAME.T, "Rows were read as genes and columns as cells, by their names."),
        (
            FRAME.set_axis(list("xyz")).set_axis(list("abcd"), axis=1),
            "since the names do not say which is which; if that is wrong, transpose the table",
        ),
    ],
)
def test_the_way_a_table_was_read_is_noted(tmp_path, frame, says):
    counts = read(write_text(tmp_path / "a.csv", csv(frame)))
    assert says in counts.notes[0]
    assert counts.matrix.toarray().tolist() == COUNTS.tolist()


@pytest.mark.parametrize(
    ("text", "cells", "genes"),
    [
        ("A,B\n1,2\n3,0\n", ["cell 1", "cell 2"], ["A", "B"]),
        ("AAACCTGAGAAACCAT,B\n1,2\n3,0\n", ["AAACCTGAGAAACCAT", "B"], ["gene 1", "gene 2"]),
        (",0,1\n0,1,2\n1,3,0\n", ["0", "1"], ["0", "1"]),
        ("barcode\tA\tB\n17\t1\t2\n", ["17"], ["A", "B"]),
        ('"A, B","C"\n"c1",1,2\n', ["c1"], ["A, B", "C"]),
        ("cell,A,A\nc1,1,2\n", ["c1"], ["A", "A-1"]),
    ],
)
def test_names_of_a_table(tmp_path, text, cells, genes):
    counts = read(write_text(tmp_path / "a.txt", text))
    assert counts.cells.tolist() == cells
    assert counts.genes.tolist() == genes


def test_repeated_names_of_a_table_are_noted(tmp_path):
    counts = read(write_text(tmp_path / "a.csv", "cell,A,A\nc1,1,2\nc1,1,2\n"))
    assert any("gene name came more than once (first: 'A')" in note for note in counts.notes)
    assert any("cell name came more than once (first: 'c1')" in note for note in counts.notes)


def test_permission_is_named(tmp_path, monkeypatch):
    # Permissions do not bind every user that runs tests, so the refusal is acted out.
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = write_text(tmp_path / "a.csv", csv(FRAME))
    monkeypatch.setattr("io.open", refuse)
    refused(path, "a.csv may not be read: permission was denied")
