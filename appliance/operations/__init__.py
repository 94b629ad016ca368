"""One verb each: authorise the actor, record the intent, do it, record the outcome.

The only layer that changes state. Web routes and commands parse, call one operation, present.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.assembly import Appliance
from appliance.operations.activation import Activation
from appliance.operations.admission import Admission
from appliance.operations.airgap import AirGap
from appliance.operations.anchor_round import AnchorRound
from appliance.operations.anchors import Anchors
from appliance.operations.asking import Asking
from appliance.operations.chats import Chats
from appliance.operations.content import Content
from appliance.operations.corrections import Corrections
from appliance.operations.dossiers import Dossiers
from appliance.operations.edge_certificates import EdgeCertificates
from appliance.operations.embedding import Embedding
from appliance.operations.evaluation import Evaluations
from appliance.operations.histories import Histories
from appliance.operations.imports import Imports
from appliance.operations.incidents import Incidents
from appliance.operations.managing_models_refusal import ManagingModelsRefusal
from appliance.operations.models import Models
from appliance.operations.people import PeopleOperations
from appliance.operations.receipts import Receipts
from appliance.operations.recording import Recorder
from appliance.operations.records import Records
from appliance.operations.refusals import Refusals
from appliance.operations.retention import RetentionOperations
from appliance.operations.rewrapping import Rewrapping
from appliance.operations.searches import SearchesOperations
from appliance.operations.sessions import Sessions
from appliance.operations.trusting import Trusting
from appliance.operations.validation import Validations


@dataclass(frozen=True)
class Operations:
    """Every verb there is, over one set of parts."""

    appliance: Appliance
    asking: Asking
    embedding: Embedding
    managing_models_refusal: ManagingModelsRefusal
    sessions: Sessions
    people: PeopleOperations
    chats: Chats
    records: Records
    searches: SearchesOperations
    receipts: Receipts
    corrections: Corrections
    histories: Histories
    models: Models
    imports: Imports
    incidents: Incidents
    activation: Activation
    dossiers: Dossiers
    evaluations: Evaluations
    validations: Validations
    trusting: Trusting
    content: Content
    retention: RetentionOperations
    rewrapping: Rewrapping
    anchors: Anchors
    edge_certificates: EdgeCertificates
    airgap: AirGap
    anchor_round: AnchorRound
    refusals: Refusals


def operations_for(appliance: Appliance) -> Operations:
    """Return the verbs over these parts."""
    refusals = Refusals(Recorder(appliance.ledger), appliance.clock)
    # One count of what is under way, for answers and embeddings together.
    admission = Admission(appliance)
    content, rewrapping = Content(appliance), Rewrapping(appliance)
    anchors, evaluations = Anchors(appliance), Evaluations(appliance)
    return Operations(
        appliance=appliance,
        asking=Asking(appliance, admission, refusals),
        embedding=Embedding(appliance, admission, refusals),
        managing_models_refusal=ManagingModelsRefusal(refusals),
        sessions=Sessions(appliance, refusals),
        people=PeopleOperations(appliance),
        chats=Chats(appliance),
        records=Records(appliance, refusals),
        searches=SearchesOperations(appliance),
        receipts=Receipts(appliance),
        corrections=Corrections(appliance),
        histories=Histories(appliance),
        models=Models(appliance),
        imports=Imports(appliance, evaluations),
        incidents=Incidents(appliance),
        activation=Activation(appliance),
        dossiers=Dossiers(appliance),
        evaluations=evaluations,
        validations=Validations(appliance),
        trusting=Trusting(appliance),
        content=content,
        retention=RetentionOperations(appliance, content, rewrapping),
        rewrapping=rewrapping,
        anchors=anchors,
        edge_certificates=EdgeCertificates(appliance),
        airgap=AirGap(appliance.ledger, appliance.clock, appliance.config.airgap.role),
        anchor_round=AnchorRound(
            anchors, appliance.ledger, appliance.config.ledger, appliance.clock
        ),
        refusals=refusals,
    )
