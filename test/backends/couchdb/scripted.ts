import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

/** What a scripted server was asked. */
export interface Asked {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Script = (asked: Asked, response: ServerResponse) => unknown

/** An HTTP server that answers as its script says, for what no CouchDB does on demand. */
export interface Scripted {
  readonly url: string
  readonly port: number
  readonly asked: readonly Asked[]
  /** How many connections were ever opened. */
  connections(): number
  close(): Promise<void>
}

export interface ScriptedOptions {
  readonly tls?: ServerOptions
  /**
   * It has every month's database, and that of the users: whoever asks it about one is told so, in CouchDB's way, which
   * does not come to the script. @default true
   */
  readonly hasDatabases?: boolean
}

/** The path of a database itself. */
const DATABASE = /\/([a-z][^/?]*(?:\d{4}-\d{2}|users))$/

export const scripted = async (
  script: Script,
  { tls, hasDatabases = true }: ScriptedOptions = {},
): Promise<Scripted> => {
  const asked: Asked[] = []
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const name = hasDatabases && method === 'GET' ? DATABASE.exec(path)?.[1] : undefined
      if (name !== undefined) return json(response, 200, { db_name: name })
      const one = { method, path, headers, body: Buffer.concat(chunks).toString('utf8') }
      asked.push(one)
      void script(one, response)
    })
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  let connections = 0
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    asked,
    connections: () => connections,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** An answer as CouchDB gives it. */
export const json = (response: ServerResponse, status: number, body: unknown, headers: object = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** An answer as a proxy in between gives it. */
export const html = (response: ServerResponse, status: number): void => {
  response.writeHead(status, { 'content-type': 'text/html' })
  response.end('<html><body>something else</body></html>')
}

/** Half an answer, and then the end of the connection. */
export const half = (response: ServerResponse, status: number, type: string): void => {
  response.writeHead(status, { 'content-type': type, 'content-length': '400' })
  response.write('{"_id":"s:')
  setTimeout(() => response.destroy(), 5)
}
