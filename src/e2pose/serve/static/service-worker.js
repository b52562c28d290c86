// Keeps the files of the page for use without a network. Files with a hash in their address come from the cache, others
// from the network while there is one. Adds the headers that isolate the page, which permits threads.

const CACHE = "e2pose";

self.addEventListener("install", (event) => event.waitUntil(storePage().then(() => self.skipWaiting())));

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method === "GET" && url.origin === self.location.origin) event.respondWith(answer(event.request, url));
});

async function storePage() {
  const { page } = await (await fetch("manifest.json")).json();
  const cache = await caches.open(CACHE);
  await cache.addAll(["./", "manifest.json", ...page.map(({ path }) => path)]);
}

async function answer(request, url) {
  const cache = await caches.open(CACHE);
  const stored = await cache.match(request, { ignoreSearch: request.mode === "navigate" });
  if (stored && url.searchParams.has("sha256")) return isolate(stored);
  try {
    const response = await fetch(request);
    if (response.status === 200) await store(cache, request, url, response.clone());
    return isolate(response);
  } catch (error) {
    if (stored) return isolate(stored);
    throw error;
  }
}

/** Stores a response; older versions of a file with a hash are deleted. */
async function store(cache, request, url, response) {
  if (url.searchParams.has("sha256")) {
    for (const { url: old } of await cache.keys()) if (new URL(old).pathname === url.pathname) await cache.delete(old);
  }
  await cache.put(request, response);
}

function isolate(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
