"""What can be set: each field by the variable ``LOOKALIKE_SERVICE_<FIELD>``."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from utils.app.query import MAX_BYTES
from utils.images import MAX_PIXELS
from utils.service.models import NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr


class Settings(BaseSettings):
    """Limits of the service, and the token that lets a client change the collection."""

    model_config = SettingsConfigDict(env_prefix="LOOKALIKE_SERVICE_", frozen=True)

    token: SecretStr | None = None  # without one nobody can add or remove
    max_bytes: PositiveInt = MAX_BYTES  # of a request's body
    max_pixels: PositiveInt = MAX_PIXELS  # of a picture
    max_k: PositiveInt = 100
    max_requests: PositiveInt = 64  # being answered; one more gets a 503
    body_seconds: PositiveFloat = 10  # for a body to arrive, and a second more …
    body_rate: PositiveInt = 20_000  # … for each of so many bytes that did
    answer_seconds: PositiveFloat = 30  # from the whole body to the answer
    batch_size: PositiveInt = 16  # pictures that share a forward pass
    batch_milliseconds: NonNegativeFloat = 3  # that the first waits for others
    reload_seconds: PositiveFloat = 2  # between looks for a newer save
