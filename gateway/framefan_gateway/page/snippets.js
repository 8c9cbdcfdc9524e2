// Code snippets that read results from a program, with this server's address.

const secure = location.protocol === "https:";
const url = `${secure ? "wss" : "ws"}://${location.host}/ws`;

// If there is a token, placeholders for it.
function snippets(withToken) {
  const header = withToken ? ', additional_headers={"Authorization": "Bearer TOKEN"}' : "";
  const file = withToken ? " --token-file FILE" : "";
  const curl = withToken ? ' -H "Authorization: Bearer TOKEN"' : "";
  const auth = withToken ? `
socket.onopen = () => socket.send('{"id":0,"auth":{"token":"TOKEN"}}');` : "";
  return {
    python: `import asyncio, websockets


async def main():
    async with websockets.connect("${url}"${header}) as ws:
        while True:
            print(await ws.recv())


asyncio.run(main())`,
    javascript: `const socket = new WebSocket("${url}");${auth}
socket.onmessage = ({ data }) => console.log(JSON.parse(data));`,
    shell: `framefan watch ${location.origin}${file}
curl -s${curl} ${location.origin}/api/status`,
    own: `framefan run front=rtsp://camera/stream \\
  --predictor model.py:predict

# model.py
def predict(image):  # uint8[height, width, 3], BGR
    return {"brightness": float(image.mean())}`,
  };
}

export function showSnippets(withToken) {
  for (const [name, text] of Object.entries(snippets(withToken))) {
    document.querySelector(`[data-snippet=${name}]`).textContent = text;
  }
}

async function copy(button) {
  const code = button.closest("section").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);  // without TLS, browsers forbid copying
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

for (const button of document.querySelectorAll(".copy")) {
  const name = button.closest("section").querySelector("h3").textContent;
  button.setAttribute("aria-label", `Copy: ${name}`);
  button.addEventListener("click", () => copy(button));
}
