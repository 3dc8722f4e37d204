"""Train a small image clustering and zip it as its author would: run this in the environment that the package requires.

Writes into FOLDER: `feature_extractor.h5`, `kmeans.pkl`, `rows.json` (images as a client sends them), `labels.json`
(the groups that this process, the author's own, finds for these rows) and `vgg_clustering.zip`.

    python make_model.py FOLDER [--requirements requirements.txt]
"""

import argparse
import json
import pickle
import zipfile
from pathlib import Path
from typing import Tuple

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans

HERE = Path(__file__).resolve().parent
GROUPS = 4
SEED = 7


def images(count: int, *, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of one bright stripe: `[count, 32, 32, 3]` int64 in 0..255, and which stripe `[count]`."""
    random = np.random.RandomState(seed)
    kinds = np.arange(count) % GROUPS
    pictures = random.randint(0, 60, size=(count, 32, 32, 3)).astype(np.int64)
    for picture, kind in zip(pictures, kinds):
        band = slice(8 * kind, 8 * kind + 8)
        if kind % 2:
            picture[:, band] += 170
        else:
            picture[band, :] += 170
    return pictures, kinds


def feature_extractor(pictures: np.ndarray, kinds: np.ndarray) -> tf.keras.Model:
    """A small VGG-like network, trained on the kinds for a few rounds and cut before its last layer."""
    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    seen = tf.keras.Input(shape=(32, 32, 3), name="images")
    flow = layers.Rescaling(1 / 255.0)(seen)
    for width in (8, 16):
        flow = layers.Conv2D(width, 3, padding="same", activation="relu")(flow)
        flow = layers.MaxPooling2D(4)(flow)
    vector = layers.Dense(8, activation="relu", name="vector")(layers.Flatten()(flow))
    whole = tf.keras.Model(seen, layers.Dense(GROUPS, activation="softmax")(vector))
    whole.compile(optimizer=tf.keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    whole.fit(pictures.astype(np.float32), kinds, epochs=6, batch_size=32, shuffle=False, verbose=0)
    return tf.keras.Model(seen, vector)


def main() -> None:
    """Train, save, answer the rows here, zip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requirements", type=Path, default=HERE / "package" / "requirements.txt")
    parser.add_argument("--rows", type=int, default=12)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)

    pictures, kinds = images(256, seed=SEED)
    extractor = feature_extractor(pictures, kinds)
    clusters = KMeans(n_clusters=GROUPS, n_init=4, random_state=SEED).fit(extractor(pictures).numpy())
    rows, _ = images(given.rows, seed=SEED + 1)
    labels = clusters.predict(extractor(rows).numpy())

    extractor.save(str(given.folder / "feature_extractor.h5"), include_optimizer=False)
    (given.folder / "kmeans.pkl").write_bytes(pickle.dumps(clusters))
    (given.folder / "rows.json").write_text(json.dumps([{"images": row.tolist()} for row in rows]))
    (given.folder / "labels.json").write_text(json.dumps(labels.tolist()))

    with zipfile.ZipFile(str(given.folder / "vgg_clustering.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in {
            "custom_inference.py": HERE / "package" / "custom_inference.py",
            "requirements.txt": given.requirements,
            "feature_extractor.h5": given.folder / "feature_extractor.h5",
            "kmeans.pkl": given.folder / "kmeans.pkl",
        }.items():
            archive.write(str(path), "vgg_clustering/" + name)
    print("wrote", given.folder / "vgg_clustering.zip", "labels", labels.tolist())


if __name__ == "__main__":
    main()
