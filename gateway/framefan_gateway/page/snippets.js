// How to read the results from a program, with the address of this very server.

const secure = location.protocol === "https:";
const url = `${secure ? "wss" : "ws"}://${location.host}/ws`;

const SNIPPETS = {
  python: `import asyncio, websockets


async def main():
    async with websockets.connect("${url}") as ws:
        while True:
            print(await ws.recv())


asyncio.run(main())`,
  javascript: `const socket = new WebSocket("${url}");
socket.onmessage = ({ data }) => console.log(JSON.parse(data));`,
  shell: `framefan watch ${location.origin}
curl -s ${location.origin}/api/status`,
  own: `framefan run front=rtsp://camera/stream \\
  --predictor model.py:predict

# model.py
def predict(image):  # uint8[height, width, 3], BGR
    return {"brightness": float(image.mean())}`,
};

export function showSnippets() {
  for (const [name, text] of Object.entries(SNIPPETS)) {
    const code = document.querySelector(`[data-snippet=${name}]`);
    code.textContent = text;
    const button = code.closest("section").querySelector(".copy");
    button.setAttribute("aria-label", `Copy the ${name} lines`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);  // a page without TLS may not copy
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}
