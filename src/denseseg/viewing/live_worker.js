// Runs a network apart from its page, which stays awake meanwhile. The first message brings the loader of ONNX Runtime Web, its
// WebAssembly and the network, each other one a picture in [0, 1]; the answer goes to the port that comes with a message.

let runtime, session;

async function begin({ loader, wasm, network }) {
  // a worker that has no address of its own can import a blob, but no file
  runtime = await import(URL.createObjectURL(new Blob([loader], { type: "text/javascript" })));
  Object.assign(runtime.env.wasm, { numThreads: 1, wasmBinary: wasm });
  session = await runtime.InferenceSession.create(new Uint8Array(network), { executionProviders: ["wasm"] });
}

async function read({ picture, width, height }) {
  const image = new runtime.Tensor("float32", picture, [1, 1, height, width]);
  const start = performance.now(), found = await session.run({ image });
  const arrays = Object.entries(found).map(([name, { data }]) => [name, data]);
  return { seconds: (performance.now() - start) / 1000, ...Object.fromEntries(arrays) };
}

onmessage = async ({ data, ports: [port] }) => {
  try {
    port.postMessage({ answer: await (data.loader ? begin(data) : read(data)) });
  } catch (error) {
    port.postMessage({ error: error.message });
  }
};
