"""Training methods for energy-based generative ConvNets. Needs torch and the array libraries only."""

METHODS = {  # name: where its class is; its knobs are the dataclass of the same name in models.methods.hparams
    "kl": "models.methods.kl:KL",
    "jko": "models.methods.jko:JKO",
    "hidden": "models.methods.hidden:Hidden",
    "amortized": "models.methods.amortized:Amortized",
    "ggcn": "models.methods.ggcn:GGCN",
}
