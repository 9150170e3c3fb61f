"""Settings of the Django project: what ``startproject`` writes, in short, and sessionkit in the place of Django's own.

``django_app.application`` overrides ``SESSIONKIT``, so that each test has a keyring of its own.
"""

from __future__ import annotations

SECRET_KEY = "for the tests alone, as all secrets in this folder"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.apps.django_app"
USE_TZ = True
TIME_ZONE = "UTC"  # Django makes it the process's own

SESSION_ENGINE = "sessionkit.contrib.django"  # shown
SESSIONKIT = {"KEYRING": "config/keyring.yaml"}  # shown
SESSION_COOKIE_NAME = "session"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = [
    "sessionkit.contrib.django.SessionMiddleware",  # shown
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a good one takes a tenth of a second, on purpose
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
