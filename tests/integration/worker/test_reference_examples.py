"""The reference's own examples, read from its document and run as they stand there."""

import textwrap
from dataclasses import replace

import pyarrow as pa
import pytest

from trivet.domain.package import EntryPoint


def excerpt(reference, first, last):
    """The document's lines from one that begins with `first` to the next that ends with `last`."""
    for path in sorted(reference.glob("001_*")):
        text = path.read_text()
        start = text.index("\n" + first) + 1
        return text[start : text.index(last, start) + len(last)] + "\n"
    pytest.fail("the reference document is not there")


def test_the_house_price_step(stand, reference):
    code = excerpt(reference, "import datetime\nimport logging", "input_df.to_numpy(dtype=np.float32)}")
    assert "import wallaroo" in code
    names = "bedrooms bathrooms sqft_living sqft_lot floors waterfront view condition grade sqft_above sqft_basement"
    names = [*names.split(), "lat", "long", "sqft_living15", "sqft_lot15", "yr_built", "yr_renovated"]
    spec = replace(
        stand.step(code, file="house-price.py"),
        input_schema=pa.schema([pa.field(name, pa.float64(), nullable=False) for name in names]),
        output_schema=pa.schema([pa.field("tensor", pa.list_(pa.float32(), 18))]),
    )

    def use(link):
        rows = [*([float(n)] * 2 for n in range(15)), [1990.0, 2000.0], [0.0, 2010.0]]
        tensor = link.send(*rows)[0]["tensor"]
        assert tensor[0][:15] == [float(n) for n in range(15)]
        assert [row[16] for row in tensor] == [0.0, 1.0]
        assert [row[17] for row in tensor] == [0.0, 10.0]

    stand.run(spec, use)


FRAMEWORKS = {
    "tensorflow/__init__.py": "from . import keras",
    "tensorflow/keras/__init__.py": """
        from . import models
        class Embeddings:
            def __init__(self, values):
                self._values = values
            def numpy(self):
                return self._values
        class Model:
            def __call__(self, images):
                return Embeddings(images.reshape(len(images), -1).mean(axis=1))
    """,
    "tensorflow/keras/models.py": """
        def load_model(path):
            from tensorflow.keras import Model
            assert path.read_bytes() == b"h5"
            return Model()
    """,
    "sklearn/__init__.py": "",
    "sklearn/cluster.py": """
        class KMeans:
            def predict(self, embeddings):
                return (embeddings > 100).astype("int32")
    """,
    "feature_extractor.h5": "h5",
    # The smallest pickle of a KMeans: its class, called without arguments.
    "kmeans.pkl": "csklearn.cluster\nKMeans\n(tR.",
}


def test_the_image_clustering_model(stand, reference):
    """With stand-ins for its two frameworks, which the package brings along; with the real ones it runs elsewhere."""
    code = excerpt(
        reference, '"""This module features an example implementation of a custom Inference', "return model\n"
    )
    root = stand.package({"custom_inference.py": code, **{n: textwrap.dedent(t) for n, t in FRAMEWORKS.items()}})
    spec = replace(
        stand.spec(
            root,
            entry={
                "inference": EntryPoint(file="custom_inference.py", name="ImageClustering", line=1),
                "builder": EntryPoint(file="custom_inference.py", name="ImageClusteringBuilder", line=1),
            },
        ),
        input_schema=pa.schema([("images", pa.list_(pa.list_(pa.list_(pa.int64(), 3), 2), 2))]),
        output_schema=pa.schema([("predictions", pa.int64())]),
    )
    image = [[[200, 200, 200]] * 2] * 2
    stand.run(spec, lambda link: _equal(link.send([image, [[[1, 2, 3]] * 2] * 2])[0], {"predictions": [1, 0]}))


def _equal(got, wanted):
    assert got == wanted
