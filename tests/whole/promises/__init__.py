"""What README, docs/spec.md and --help promise, run for real: specs made from the spec's own tables go through Ray,
storage, MLflow, --status and the report. docs/proofs.md says what is not run here.
"""
