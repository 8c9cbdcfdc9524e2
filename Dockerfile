# framefan in a container: docs/howto/docker.md tells how to build and run it.

FROM python:3.12-slim AS build
WORKDIR /build
RUN python -m venv /opt/framefan
COPY pyproject.toml README.md LICENSE ./
COPY framefan framefan
COPY capture capture
COPY inference inference
COPY gateway gateway
# The usual OpenCV wheel wants libGL, which is not here: the headless one of the same version does not.
# Its files are the usual wheel's too, so one leaves before the other comes.
RUN set -eu; pip="/opt/framefan/bin/python -m pip --disable-pip-version-check --no-cache-dir"; \
    $pip install .; \
    version=$(/opt/framefan/bin/python -c \
        "from importlib.metadata import version; print(version('opencv-python'))"); \
    $pip uninstall --yes opencv-python; \
    $pip install "opencv-python-headless==$version"; \
    /opt/framefan/bin/python -c "import cv2"

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home framefan
COPY --from=build /opt/framefan /opt/framefan
ENV PATH=/opt/framefan/bin:$PATH
# All of the container's addresses; framefan does not start so without a token.
ENV FRAMEFAN_HOST=0.0.0.0
USER framefan
WORKDIR /home/framefan
EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["framefan"]
CMD ["run"]
