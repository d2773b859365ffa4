"""The query set shown as a dataset on the sweep's own run."""

from __future__ import annotations

from finrag_eval.record.parent import DatasetFacts
from finrag_eval.record.store import Store


def log_dataset(store: Store, run_id: str, facts: DatasetFacts) -> None:
    """Adds the query set to the run's inputs; a second time changes nothing.

    It is put together from MLflow's entities: its own dataset classes would want pandas and the
    whole file.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=facts.name,
        digest=facts.digest,
        source_type="local",
        source=facts.source,
        schema=facts.schema,
        profile=facts.profile,
    )
    context = InputTag("mlflow.data.context", "eval")
    store.client.log_inputs(run_id, [DatasetInput(dataset=dataset, tags=[context])])
