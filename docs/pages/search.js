// Search in the pages as they lie on the disk, and for options by their names.

/** A worker in a frame of the page: browsers start no real one from a file. */
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    this.ready = new Promise((resolve) => {
      frame.addEventListener("load", async () => {
        const inside = frame.contentWindow
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
        inside.importScripts = (...urls) => Promise.all(urls.map((each) => FrameWorker.load(inside, each)))
        await FrameWorker.load(inside, url)
        resolve(inside)
      }, { once: true })
    })
    document.body.append(frame)
  }

  static load(inside, url) {
    return new Promise((resolve, reject) => {
      const script = inside.document.createElement("script")
      script.src = url
      script.onload = resolve
      script.onerror = reject
      inside.document.body.append(script)
    })
  }

  postMessage(data) {
    this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })))
  }
}

const SEARCHED = 2 // the type of the message that asks for something
const Base = location.protocol === "file:" ? FrameWorker : Worker

// A dash before a word leaves out what has it; two dashes are an option's name.
window.Worker = class extends Base {
  postMessage(message, ...rest) {
    const asked = message?.type === SEARCHED && typeof message.data === "string"
    super.postMessage(asked ? { ...message, data: message.data.replace(/(^|\s)--(?=\w)/g, "$1") } : message, ...rest)
  }
}
