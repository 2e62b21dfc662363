# Footfall as a container: as a user without rights, on a root filesystem that may be read-only. It writes to
# /var/lib/footfall (state) and /var/cache/footfall (compiled loops), which should be volumes, and to /tmp.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock pyproject.toml ./
# The lock holds what development needs as well; that is taken out again.
RUN python -m venv /opt/footfall \
    && /opt/footfall/bin/pip install --require-hashes --requirement requirements.lock
COPY README.md LICENSE ./
COPY footfall footfall
COPY flows flows
COPY patterns patterns
COPY schemas schemas
COPY clickhouse clickhouse
COPY grafana grafana
RUN /opt/footfall/bin/pip install --no-deps --no-build-isolation . \
    && python -c 'import re, tomllib; [print(re.match("[\\w-]+", each)[0]) for each in tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"]]' \
        | xargs /opt/footfall/bin/pip uninstall --yes \
    && /opt/footfall/bin/python -m compileall -q /opt/footfall

FROM python:3.12.12-slim-bookworm
COPY --from=build /opt/footfall /opt/footfall
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin footfall \
    && mkdir -p /var/lib/footfall /var/cache/footfall \
    && chown footfall:footfall /var/lib/footfall /var/cache/footfall
ENV PATH=/opt/footfall/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/footfall
USER 10001:10001
WORKDIR /var/lib/footfall
VOLUME ["/var/lib/footfall", "/var/cache/footfall"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["footfall"]
CMD ["live"]
