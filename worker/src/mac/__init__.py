"""The authoring contract of custom models and Python steps.

A custom model extends `mac.inference.Inference` and `mac.inference.creation.InferenceBuilder`; a Python step is a function
`process_data` over `mac.types.InferenceData`.
"""
