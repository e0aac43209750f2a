import { connect, type Socket } from 'node:net'
import { once } from 'node:events'

/** Only a stall reaches it. */
const STALL_MS = 20_000

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number
  /** Start line and fields. */
  readonly head: string
  /** Fields by lower-case name; the last of a name counts. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** A client that knows nothing of what it sends, and takes answers apart by their Content-Length. */
export class RawClient {
  readonly socket: Socket
  /** What came, chunk by chunk as the kernel gave it. */
  readonly chunks: Buffer[] = []
  closed = false
  /** Code of the error that ended the connection, '' for none. */
  error = ''
  #unread: Buffer = Buffer.alloc(0)
  /** What came after `unread`, and how much of it the answer in hand wants at least. */
  #parts: Buffer[] = []
  #partBytes = 0
  #wanted = 0
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.#parts.push(chunk)
      this.#partBytes += chunk.byteLength
      // A large answer is joined when it is whole, not with each chunk.
      if (this.#partBytes >= this.#wanted) this.#wake()
    })
    socket.on('error', (error) => {
      this.error = 'code' in error ? String(error.code) : error.message
    })
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** Bytes that came and belong to no answer taken so far. */
  get unread(): string {
    this.#join()
    return this.#unread.toString('latin1')
  }

  /** Sends text as latin1, or bytes. */
  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Takes the next answer; rejects when the connection ends before it is whole. */
  async answer(withoutBody = false): Promise<Answer> {
    for (;;) {
      const answer = this.#take(withoutBody)
      if (answer !== undefined) return answer
      if (this.closed) throw new Error(`the connection ended (${this.error}) with ${JSON.stringify(this.unread.slice(0, 300))}`)
      await this.#more()
    }
  }

  /** Takes this many answers. */
  async answers(count: number): Promise<Answer[]> {
    const answers: Answer[] = []
    while (answers.length < count) answers.push(await this.answer())
    return answers
  }

  /** Waits for the end of the connection; what came and was not taken is returned. */
  async rest(): Promise<string> {
    while (!this.closed) await this.#more()
    return this.unread
  }

  #join(): void {
    this.#unread = Buffer.concat([this.#unread, ...this.#parts])
    this.#parts = []
    this.#partBytes = 0
    this.#wanted = 0
  }

  #take(withoutBody: boolean): Answer | undefined {
    this.#join()
    const end = this.#unread.indexOf('\r\n\r\n')
    if (end === -1) return undefined
    const head = this.#unread.latin1Slice(0, end)
    const [startLine = '', ...lines] = head.split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(startLine)?.[1])
    if (Number.isNaN(status)) throw new Error(`this is no answer: ${JSON.stringify(head)}`)
    const fields = new Map(
      lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    if (!withoutBody && fields.get('transfer-encoding') === 'chunked') {
      const chunked = joinChunks(this.#unread, end + 4)
      if (chunked === undefined) return undefined
      this.#unread = this.#unread.subarray(chunked.end)
      return { status, head, fields, body: chunked.body }
    }
    const length = withoutBody || status < 200 || status === 204 ? 0 : Number(fields.get('content-length'))
    if (Number.isNaN(length)) throw new Error(`the answer has no length: ${head}`)
    const missing = end + 4 + length - this.#unread.byteLength
    if (missing > 0) {
      this.#wanted = missing
      return undefined
    }
    const body = this.#unread.subarray(end + 4, end + 4 + length)
    this.#unread = this.#unread.subarray(end + 4 + length)
    return { status, head, fields, body }
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came within ${STALL_MS} ms; so far ${this.unread.slice(0, 300)}`)), STALL_MS)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** The body whose first chunk stands at `start`, and where it ends; undefined while a part is missing. Throws for what is no chunk. */
function joinChunks(bytes: Buffer, start: number): { readonly body: Buffer; readonly end: number } | undefined {
  const parts: Buffer[] = []
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd === -1) return undefined
    const line = bytes.latin1Slice(at, lineEnd)
    if (!/^[1-9a-f][0-9a-f]*$|^0$/.test(line)) throw new Error(`this is no size of a chunk: ${JSON.stringify(line.slice(0, 50))}`)
    const size = Number.parseInt(line, 16)
    const end = lineEnd + 2 + size
    if (bytes.byteLength < end + 2) return undefined
    if (bytes.latin1Slice(end, end + 2) !== '\r\n') throw new Error('a chunk does not end where its size says')
    if (size === 0) return { body: Buffer.concat(parts), end: end + 2 }
    parts.push(bytes.subarray(lineEnd + 2, end))
    at = end + 2
  }
}

/** Connects; the connection is cut off when the test ends. Half-open: the client goes on reading after it has ended its side, and the reverse. */
export async function rawClient(context: { after(cleanUp: () => void): void }, port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  context.after(() => {
    socket.destroy()
  })
  await once(socket, 'connect')
  return new RawClient(socket)
}
