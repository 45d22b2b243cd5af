"""What can be set: each field by the variable ``LOOKALIKE_SERVICE_<FIELD>``."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from utils.app.query import MAX_BYTES
from utils.images import MAX_PIXELS


class Settings(BaseSettings):
    """Limits of the service, and the token that lets a client change the collection."""

    model_config = SettingsConfigDict(env_prefix="LOOKALIKE_SERVICE_", frozen=True)

    token: SecretStr | None = None  # without one nobody can add or remove
    max_bytes: int = Field(MAX_BYTES, ge=1)  # of a request's body
    max_pixels: int = Field(MAX_PIXELS, ge=1)  # of a picture
    max_k: int = Field(100, ge=1)
    max_requests: int = Field(64, ge=1)  # being answered; one more gets a 503
    body_seconds: float = Field(10.0, gt=0)  # for each piece of a body to arrive
    answer_seconds: float = Field(30.0, gt=0)  # from the whole body to the answer
    batch_size: int = Field(16, ge=1)  # pictures that share a forward pass
    batch_milliseconds: float = Field(3.0, ge=0)  # that the first waits for others
    reload_seconds: float = Field(2.0, gt=0)  # between looks for a newer save
