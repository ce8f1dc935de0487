# mypy: ignore-errors
"""A Django site with django-allauth, headless and with MFA, as production settings have it; needs Django beside it."""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.urls import include, path

_URL = urlsplit(os.environ["PEER_DATABASE_URL"])
settings.configure(
    SECRET_KEY=os.environ["SECRET"],
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.headless",
        "allauth.mfa",
        "allauth.usersessions",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _URL.hostname,
            "PORT": _URL.port,
            "USER": _URL.username,
            "PASSWORD": _URL.password,
            "NAME": _URL.path.strip("/"),
            "CONN_MAX_AGE": None,
        }
    },
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": os.environ["MEMCACHED"],
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.db",
    AUTHENTICATION_BACKENDS=[
        "django.contrib.auth.backends.ModelBackend",
        "allauth.account.auth_backends.AuthenticationBackend",
    ],
    # The password step comes before what is measured, so its cost is taken out of the way.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ACCOUNT_EMAIL_VERIFICATION="none",
    ACCOUNT_LOGIN_METHODS={"username"},
    ACCOUNT_SIGNUP_FIELDS=["username*", "password1*"],
    ACCOUNT_RATE_LIMITS=False,
    HEADLESS_ENABLED=True,
    HEADLESS_CLIENTS=("app", "browser"),
    MFA_SUPPORTED_TYPES=["totp", "recovery_codes"],
    MFA_TOTP_TOLERANCE=1,
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    LOGGING={"version": 1, "handlers": {"none": {"class": "logging.NullHandler"}}, "root": {"handlers": ["none"]}},
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - after the settings

urlpatterns = [path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))]
application = get_wsgi_application()
