"""Turn facts about a house into the eighteen numbers of a price model."""

import logging

import numpy as np
import pandas as pd

from mac.types import InferenceData

logger = logging.getLogger(__name__)

FEATURES = [
    "bedrooms", "bathrooms", "sqft_living", "sqft_lot", "floors", "waterfront", "view", "condition", "grade",
    "sqft_above", "sqft_basement", "lat", "long", "sqft_living15", "sqft_lot15",
    "house_age", "renovated", "yrs_since_reno",
]  # fmt: skip


def process_data(input_data: InferenceData) -> InferenceData:
    """One array of `[rows, 18]` float32 from one column a field."""
    houses = pd.DataFrame(input_data)
    year_of_sale = pd.to_datetime(houses["date"]).dt.year
    renovated = houses["yr_renovated"] > 0

    houses["house_age"] = year_of_sale - houses["yr_built"]
    houses["renovated"] = renovated.astype(int)
    houses["yrs_since_reno"] = np.where(renovated, year_of_sale - houses["yr_renovated"], 0)

    logger.info("made features of %d houses", len(houses))
    return {"tensor": houses[FEATURES].to_numpy(dtype=np.float32)}
