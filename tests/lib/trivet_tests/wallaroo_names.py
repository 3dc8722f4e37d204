"""The classes of `compat/wallaroo` that notebooks name, and the module of each."""

HOLDERS = {
    "Client": "wallaroo.client",
    "Pipeline": "wallaroo.pipeline",
    "ModelVersion": "wallaroo.model_version",
    "Workspace": "wallaroo.workspace",
    "DeploymentConfigBuilder": "wallaroo.deployment_config",
}
