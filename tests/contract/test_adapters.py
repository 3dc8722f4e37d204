"""The contract of adapters, for each framework that workers run."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pyarrow as pa
import pytest

from contracts.adapters import LARGEST, AdapterContract, Behaviour
from trivet.domain.frameworks import FRAMEWORKS, Framework
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.schema_text import parse_schema
from trivet.packaging.frameworks.hugging_face import RELEASES

PREDICT: dict[Behaviour, str] = {
    "doubles": "if x.max() > 999: raise ValueError('x is out of bounds')\n{indent}return {{'y': x * 2}}",
    "loses a row": "return {{'y': x[:-1]}}",
    "other field": "return {{'z': x}}",
    "other type": "return {{'y': x.astype(str)}}",
    "does not load": "return {{}}",
}
FAILS = "raise RuntimeError('not today')\n"

STEP = """
def process_data(input_data):
    x = input_data["x"]
    {predict}
"""

CUSTOM = """
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder


class Doubler(Inference):
    @property
    def expected_model_types(self):
        return {{int}}

    def _predict(self, input_data):
        x = input_data["x"]
        {predict}


class DoublerBuilder(InferenceBuilder):
    @property
    def inference(self):
        return Doubler

    def create(self, config):
        {create}
"""


def folder_with(folder: Path, **files: str) -> Path:
    root = folder / "package"
    root.mkdir()
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


class TestPythonSteps(AdapterContract):
    framework = Framework.PYTHON

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        text = STEP.format(predict=PREDICT[behaviour].format(indent=" " * 4))
        return folder_with(folder, step_py=text + (FAILS if behaviour == "does not load" else ""))


class TestCustomModels(AdapterContract):
    framework = Framework.CUSTOM

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        made = "inference = Doubler()\n        inference.model = 1\n        return inference"
        text = CUSTOM.format(
            predict=PREDICT[behaviour].format(indent=" " * 8),
            create=FAILS if behaviour == "does not load" else made,
        )
        return folder_with(folder, model_py=text, requirements_txt="")


class TestOnnxModels(AdapterContract):
    framework = Framework.ONNX
    refusal = "out of data bounds"
    load_failure = "is not an ONNX model"
    onnx = OnnxCalls(columns=("x",), single=False, rows_a_call=None, whole_row=(False,), shapes=(None,))

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        doubles = [onnx.helper.make_node("Gather", ["table", "x"], ["y"])]
        nodes = {
            "loses a row": [onnx.helper.make_node("Slice", ["x", "zero", "last"], ["y"])],
            "other field": [onnx.helper.make_node("Gather", ["table", "x"], ["z"])],
            "other type": [onnx.helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.STRING)],
        }.get(behaviour, doubles)
        name = "z" if behaviour == "other field" else "y"
        kind = onnx.TensorProto.STRING if behaviour == "other type" else onnx.TensorProto.INT64
        graph = onnx.helper.make_graph(
            nodes,
            "model",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["rows"])],
            [onnx.helper.make_tensor_value_info(name, kind, ["answers"])],
            [
                onnx.numpy_helper.from_array(np.arange(1000, dtype=np.int64) * 2, "table"),
                onnx.numpy_helper.from_array(np.array([0], np.int64), "zero"),
                onnx.numpy_helper.from_array(np.array([-1], np.int64), "last"),
            ],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        file = folder / "model.onnx"
        file.write_bytes(b"not a model" if behaviour == "does not load" else model.SerializeToString())
        return file


# A neighbour's answer is exact, and the encoder refuses what it was not trained with.
NEIGHBOURS = """
import sys, joblib, numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

behaviour, file = sys.argv[1:]
x = np.arange(1000).reshape(-1, 1)
x = np.hstack([x, x]) if behaviour == "does not load" else x
y = x[:, 0] * 2
joblib.dump(
    make_pipeline(OrdinalEncoder(), KNeighborsClassifier(1)).fit(x, y.astype(str) if behaviour == "other type" else y), file
)
"""


class TrainedContract(AdapterContract):
    """Models that a script trains in their environment."""

    script: ClassVar[str]
    file: ClassVar[str]
    load_failure = "takes 2 features"

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        file = folder / self.file
        words = [str(self.python), "-I", "-W", "ignore", "-c", self.script, behaviour, str(file)]
        done = subprocess.run(words, cwd=folder, capture_output=True, check=False, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return file

    # Such models answer each row, and the fields are those of the schema.
    @pytest.mark.parametrize(("behaviour", "path"), [("other type", "y")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        super().test_an_answer_that_the_schema_does_not_allow_is_refused(tmp_path, behaviour, path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestScikitLearnModels(TrainedContract):
    framework = Framework.SKLEARN
    refusal = "unknown categories"
    requirements = ("scikit-learn==1.9.1", "joblib>=1.2", "pandas")
    script, file = NEIGHBOURS, "model.joblib"


# One tree with a leaf for each value is exact. A model of classes answers several numbers a row.
START = """
import sys
import numpy as np

behaviour, file = sys.argv[1:]
x = np.arange(10 if file.endswith(".cbm") else 1000).reshape(-1, 1).astype(float)
y = x[:, 0] * 2
x = np.hstack([x, x]) if behaviour == "does not load" else x
classes = np.arange(len(x)) % 3
"""
XGBOOST = f"""{START}
import xgboost

exact = dict(tree_method="exact", max_depth=16, learning_rate=1, reg_lambda=0, min_child_weight=0, base_score=0)
if behaviour == "other type":
    model = xgboost.train(dict(objective="multi:softprob", num_class=3), xgboost.DMatrix(x, classes), 2)
else:
    model = xgboost.XGBRegressor(n_estimators=1, **exact).fit(x, y)
model.save_model(file)
"""
LIGHTGBM = f"""{START}
import lightgbm

exact = dict(num_leaves=1000, min_data_in_leaf=1, min_data_in_bin=1, max_bin=2000, learning_rate=1, verbose=-1)
exact |= dict(boost_from_average=False, min_sum_hessian_in_leaf=0)
kind = dict(objective="multiclass", num_class=3, verbose=-1) if behaviour == "other type" else exact
model = lightgbm.train(kind, lightgbm.Dataset(x, classes if behaviour == "other type" else y), 1)
model.save_model(file)
"""
CATBOOST = f"""{START}
import catboost

exact = dict(iterations=1, depth=9, learning_rate=1, l2_leaf_reg=0, boost_from_average=False, bootstrap_type="No")
exact |= dict(random_strength=0)
kind = catboost.CatBoostClassifier(iterations=2) if behaviour == "other type" else catboost.CatBoostRegressor(**exact)
kind.fit(x, classes.astype(str) if behaviour == "other type" else y, verbose=0).save_model(file)
"""
FLOATS = pa.schema([pa.field("y", pa.float32(), nullable=False)])


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestXGBoostModels(TrainedContract):
    framework = Framework.XGBOOST
    refusal = None
    outputs = FLOATS
    requirements = ("xgboost==3.2.0", "scikit-learn", "pandas")
    script, file = XGBOOST, "model.ubj"


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestLightGBMModels(TrainedContract):
    framework = Framework.LIGHTGBM
    refusal = None
    outputs = FLOATS
    requirements = ("lightgbm>=4", "scikit-learn", "pandas")
    script, file = LIGHTGBM, "model.txt"


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestCatBoostModels(TrainedContract):
    framework = Framework.CATBOOST
    refusal = None
    outputs = FLOATS
    largest = 10
    requirements = ("catboost==1.2.10", "pandas")
    script, file = CATBOOST, "model.cbm"


SCRIPT = """
import sys, torch

behaviour, file = sys.argv[1:]
answers = {"loses a row": "x[:-1]", "other type": "x * 0.5"}


class Doubler(torch.nn.Module):
    pass


doubler = torch.jit.script(Doubler())
doubler.define(f'''
def forward(self, x{', z' if behaviour == 'does not load' else ''}):
    if int(x.max()) > 999:
        raise ValueError("x is out of bounds")
    return {answers.get(behaviour, 'x * 2')}
''')
torch.jit.save(doubler, file)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestPyTorchModels(AdapterContract):
    framework = Framework.PYTORCH
    load_failure = "the model has 2 inputs"
    requirements = ("torch==2.13.0",)

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        file = folder / "model.pt"
        words = [str(self.python), "-I", "-W", "ignore", "-c", SCRIPT, behaviour, str(file)]
        done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return file

    # Its answers have no names.
    @pytest.mark.parametrize(("behaviour", "path"), [("loses a row", "y"), ("other type", "y")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        super().test_an_answer_that_the_schema_does_not_allow_is_refused(tmp_path, behaviour, path)


GRAPH = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

behaviour, folder = sys.argv[1:]
numbers = tf.TensorSpec([None], tf.int64)


def doubled(x, z=None):
    tf.debugging.assert_less(x, tf.constant(1000, tf.int64), message="x is out of bounds")
    return {"y": x[:-1] if behaviour == "loses a row" else x * 2}


more = {"z": numbers} if behaviour == "does not load" else {}
function = tf.function(doubled).get_concrete_function(x=numbers, **more)
tf.saved_model.save(tf.Module(), folder, signatures={"serving_default": function})
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestTensorFlowModels(AdapterContract):
    framework = Framework.TENSORFLOW
    load_failure = "the model has 2 inputs"
    requirements = ("tensorflow-cpu==2.21.0",)

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        target = folder / "model"
        words = [str(self.python), "-I", "-W", "ignore", "-c", GRAPH, behaviour, str(target)]
        done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return target

    # A signature says its types, and a field that does not fit is refused when it is loaded.
    @pytest.mark.parametrize(("behaviour", "path"), [("loses a row", "y")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        super().test_an_answer_that_the_schema_does_not_allow_is_refused(tmp_path, behaviour, path)


TABLE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np

behaviour, file = sys.argv[1:]
x = keras.Input((), dtype="int64", name="x")
z = keras.Input((), dtype="int64", name="z")
table = keras.layers.Embedding(1000, 1, name="table")
y = keras.ops.cast(table(x), "int64")
if behaviour == "loses a row":
    y = keras.ops.concatenate([y, y], axis=0)  # Keras cannot lose one, so each is answered twice
model = keras.Model([x, z], y + z) if behaviour == "does not load" else keras.Model(x, y)
table.set_weights([2.0 * np.arange(1000).reshape(-1, 1)])
model.save(file)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestKerasModels(AdapterContract):
    framework = Framework.KERAS
    refusal = "is not in"
    load_failure = "the model has 2 inputs"
    requirements = ("tensorflow-cpu==2.21.0", "keras==3.15.1")

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        file = folder / "model.keras"
        words = [str(self.python), "-I", "-W", "ignore", "-c", TABLE, behaviour, str(file)]
        done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return file

    # A model says its types, and a field that does not fit is refused when it is loaded.
    @pytest.mark.parametrize(("behaviour", "path"), [("loses a row", "y")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        super().test_an_answer_that_the_schema_does_not_allow_is_refused(tmp_path, behaviour, path)


# The label of each word is its neighbour's among all embeddings, so the answer is exact.
LABELS = """
import sys, torch, transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

behaviour, folder = sys.argv[1:]
words = {str(each): each for each in range(1000)}
tokenizer = Tokenizer(models.WordLevel({**words, "?": 1000}, unk_token="?"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", model_max_length=4).save_pretrained(folder)
labels = {each: "a word" if behaviour == "other type" else str(each * 2) for each in range(1000)}
model = hf.BertForSequenceClassification(
    hf.BertConfig(vocab_size=1001, hidden_size=32, num_hidden_layers=0, num_attention_heads=2, intermediate_size=2,
                  id2label=labels, label2id={str(each): each for each in labels}, hidden_dropout_prob=0.0)
).eval()
with torch.no_grad():
    model.bert.embeddings.word_embeddings.weight.normal_(0, 1)
    model.bert.pooler.dense.weight.copy_(torch.eye(32) * 0.3)
    points = model.bert(torch.arange(1000).reshape(-1, 1)).pooler_output
    model.classifier.weight.copy_(points * 200)
    model.classifier.bias.copy_(points.square().sum(1) * -100)
model.save_pretrained(folder)
if behaviour == "does not load":
    with open(folder + "/model.safetensors", "r+b") as file:
        file.truncate(100)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestHuggingFaceModels(AdapterContract):
    framework = Framework.HUGGING_FACE_TEXT_CLASSIFICATION
    refusal = "negative int"
    load_failure = "afetensor"
    requirements = RELEASES[4]
    inputs = parse_schema("inputs: string; max_length: int64; truncation: bool")
    outputs = parse_schema("label: string")
    sizes = (1, 2, 17, 300)  # each row is a call

    def columns(self, values: list[int]) -> dict[str, list[object]]:
        lengths = [4 if value <= LARGEST else -1 for value in values]
        return {"inputs": [*map(str, values)], "max_length": [*lengths], "truncation": [True for _ in values]}

    def write(self, folder: Path, behaviour: Behaviour) -> Path:
        target = folder / "model"
        words = [str(self.python), "-I", "-W", "ignore", "-c", LABELS, behaviour, str(target)]
        done = subprocess.run(words, capture_output=True, check=False, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return target

    # It answers each row, and a field of another name or type is refused when it is loaded.
    @pytest.mark.parametrize(("behaviour", "path"), [("other type", "label")])
    def test_an_answer_that_the_schema_does_not_allow_is_refused(
        self, tmp_path: Path, behaviour: Behaviour, path: str
    ) -> None:
        self.outputs = parse_schema("label: int64")
        super().test_an_answer_that_the_schema_does_not_allow_is_refused(tmp_path, behaviour, path)


def test_every_adapter_has_a_suite() -> None:
    here = vars(sys.modules[__name__]).values()
    tested = {
        FRAMEWORKS[each.framework].adapter for each in here if isinstance(each, type) and hasattr(each, "framework")
    }
    assert tested == {facts.adapter for facts in FRAMEWORKS.values() if facts.adapter is not None}
