"""Models with all their files: imports, evaluations, activations and pins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a0004"
down_revision = "a0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _models()
    _imports()
    _evaluations()
    _use()


def downgrade() -> None:
    raise NotImplementedError("what vouches for a model is not dropped; restore a backup instead")


def _models() -> None:
    # Rows of before have weights alone: they keep working, and are imported anew to get the rest.
    texts = (
        ("files", "{}"), ("signers", "[]"), ("oms_key", ""), ("template_from", "weights"),
        ("architecture", ""), ("licence", ""), ("quantisation", ""),
    )  # fmt: skip
    for name, default in texts:
        op.add_column("models", sa.Column(name, sa.Text(), nullable=False, server_default=default))
    op.add_column(
        "models", sa.Column("parameters", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("publishers", sa.Column("revoked", sa.Double()))
    op.add_column("publishers", sa.Column("revoked_by", sa.String(40)))


def _imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("publisher", sa.String(40), nullable=False),
        sa.Column("targets_sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("imported_by", sa.String(40), nullable=False),
        sa.Column("created", sa.Double(), nullable=False, index=True),
        sa.Column("changed", sa.Double(), nullable=False),
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(40), nullable=False, index=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("prompts_sha256", sa.String(64), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("by", sa.String(40), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double()),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
    )


def _use() -> None:
    op.create_table(
        "activations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("previous", sa.String(40)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("by", sa.String(40), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
    )
    op.create_table(
        "pins",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(40), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
    )
