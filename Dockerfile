# The app for a class or a public page; `docker compose up --build` adds a TLS proxy (compose.yaml).
FROM python:3.13-slim-bookworm

# Plain pip installs the CUDA build of torch (several gigabytes). With the address that PyTorch's
# page "Get started" shows for CPU builds it installs the CPU build:
#   docker compose build --build-arg PIP_EXTRA_INDEX_URL=ADDRESS
ARG PIP_EXTRA_INDEX_URL=

RUN useradd --create-home --uid 1000 lab && install -d -o lab /srv/loralab
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt

COPY .streamlit .streamlit
COPY core core
COPY ui ui
COPY pages pages
COPY docs/glossary.md docs/
COPY Home.py LICENSE NOTICE ./

ENV LORALAB_HOME=/srv/loralab LORALAB_MODE=classroom PYTHONUNBUFFERED=1
VOLUME /srv/loralab
USER 1000:1000
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; \
urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "Home.py", "--server.address", "0.0.0.0", "--server.port", "8501", \
     "--server.headless", "true"]
