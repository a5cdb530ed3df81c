"""Training methods for energy-based generative ConvNets. Needs torch and the array libraries only."""

METHODS = {  # name: where its class is; its knobs are the dataclass of the same name in models.hparams
    "kl": "models.kl:KL",
    "jko": "models.jko:JKO",
    "hidden": "models.hidden:Hidden",
    "amortized": "models.amortized:Amortized",
    "ggcn": "models.ggcn:GGCN",
}
