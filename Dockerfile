# bids_secondlevel in a container: docker build -t bidssecondlevel/bids_secondlevel:0.1.0 .
# Build arguments: TEMPLATEFLOW, surfaces to be fetched into the image, such as "fsaverage:164k fsLR:32k".

FROM debian:trixie-slim AS build
# The packages of Debian are not pinned: its mirrors keep the latest of a release only.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements-build.txt requirements.txt ./
RUN python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --require-hashes -r requirements-build.txt \
    && tools/bin/pip wheel --no-cache-dir --no-build-isolation --require-hashes \
        --wheel-dir wheels -r requirements.txt
COPY . source
RUN tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir wheels ./source \
    && python3 -m venv --without-pip /opt/bids_secondlevel \
    && tools/bin/pip --python /opt/bids_secondlevel/bin/python install --no-cache-dir --no-index \
        --no-deps wheels/*.whl \
    && find /opt/bids_secondlevel -type d -name tests -prune -exec rm -r {} +
# What libraries would write at their first use: the list of fonts, the skeleton of TemplateFlow.
ARG TEMPLATEFLOW=""
ENV MPLCONFIGDIR=/opt/matplotlib TEMPLATEFLOW_HOME=/opt/templateflow
RUN PATH=/opt/bids_secondlevel/bin:$PATH \
    && python -c "import matplotlib.font_manager, templateflow.api" \
    && for surface in $TEMPLATEFLOW; do \
        for suffix in sphere inflated sulc; do \
            templateflow get "${surface%:*}" --density "${surface#*:}" --suffix "$suffix" || exit 1; \
        done; \
        if find "$TEMPLATEFLOW_HOME/tpl-${surface%:*}" -name "*_den-${surface#*:}_*" -size +0 \
            -exec false {} +; then echo "TEMPLATEFLOW: there is no $surface"; exit 1; fi; \
    done \
    && chmod -R a+rX /opt

FROM debian:trixie-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt /opt
# A login shell, as Boutiques starts it in Apptainer, has a PATH of its own. /version is what every
# BIDS App has.
ARG VERSION=0.1.0
RUN ln -s /opt/bids_secondlevel/bin/bids_secondlevel /opt/bids_secondlevel/bin/bids_secondlevel-demo \
        /usr/local/bin/ \
    && echo "$VERSION" > /version
LABEL org.opencontainers.image.title="bids_secondlevel" \
    org.opencontainers.image.ref.name="bidssecondlevel/bids_secondlevel:$VERSION" \
    org.opencontainers.image.url="https://github.com/bidssecondlevel/bids_secondlevel" \
    org.opencontainers.image.source="https://github.com/bidssecondlevel/bids_secondlevel" \
    org.opencontainers.image.documentation="https://bidssecondlevel.github.io/bids_secondlevel/" \
    org.opencontainers.image.description="BIDS App: individual regions of interest from retinotopy and localizers, and group statistics on first-level estimates in them" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION"
ENV LANG=C.UTF-8 \
    HOME=/tmp \
    MPLCONFIGDIR=/opt/matplotlib \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    BIDS_SECONDLEVEL_CONTAINER="bidssecondlevel/bids_secondlevel:$VERSION"
USER 1000:1000
ENTRYPOINT ["bids_secondlevel"]
CMD ["--help"]
