"""What can be set: each field by the variable ``LOOKALIKE_SERVICE_<FIELD>``."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from utils.app.query import MAX_BYTES
from utils.images import MAX_PIXELS
from utils.service.models import pydantic


class Settings(BaseSettings):
    """Limits of the service, and the token that lets a client change the collection."""

    model_config = SettingsConfigDict(env_prefix="LOOKALIKE_SERVICE_", frozen=True)

    token: pydantic.SecretStr | None = None  # without one nobody can add or remove
    weights: str | None = None  # a file of the network's, if it isn't a usual one
    head: str | None = None  # a taught head's file, if the collection has one
    max_bytes: pydantic.PositiveInt = MAX_BYTES  # of a request's body
    max_pixels: pydantic.PositiveInt = MAX_PIXELS  # of a picture
    max_k: pydantic.PositiveInt = 100
    max_requests: pydantic.PositiveInt = 64  # being answered; one more gets a 503
    body_seconds: pydantic.PositiveFloat = 10  # for a body, and a second more …
    body_rate: pydantic.PositiveInt = 20_000  # … for each so many bytes
    answer_seconds: pydantic.PositiveFloat = 30  # from the whole body to the answer
    batch_size: pydantic.PositiveInt = 16  # pictures that share a forward pass
    batch_milliseconds: pydantic.NonNegativeFloat = 3  # that the first waits for others
    reload_seconds: pydantic.PositiveFloat = 2  # between looks for a newer save
