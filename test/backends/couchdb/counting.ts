import { once } from 'node:events'
import { Agent, createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Stands before a CouchDB, passes everything on, and keeps a list of what was asked: `POST /db/_bulk_docs (3)`. */
export interface Counting {
  readonly url: string
  /** What passed while `work` ran, and a moment longer for what it started beside its answers. */
  during(work: () => Promise<unknown>): Promise<readonly string[]>
  close(): Promise<void>
}

/** @param url of the server, with the password if it takes one: it is passed on too */
export const countingFor = async (url: string): Promise<Counting> => {
  const { hostname, port, username, password } = new URL(url)
  const agent = new Agent({ keepAlive: true })
  const passed: string[] = []
  const server = createServer((near, answer) => {
    const chunks: Buffer[] = []
    near.on('data', (chunk: Buffer) => chunks.push(chunk))
    near.on('end', () => {
      const body = Buffer.concat(chunks)
      passed.push(`${near.method} ${near.url?.replace(/\?.*/, '')}${documentsIn(body)}`)
      const far = forward(
        { hostname, port, path: near.url, method: near.method, headers: near.headers, agent },
        (answered) => {
          answer.writeHead(answered.statusCode ?? 500, answered.headers)
          answered.pipe(answer)
        },
      )
      far.on('error', () => answer.destroy())
      far.end(body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const who = username === '' ? '' : `${username}:${password}@`
  return {
    url: `http://${who}127.0.0.1:${(server.address() as AddressInfo).port}`,
    during: async (work) => {
      passed.length = 0
      await work()
      await new Promise((resolve) => setTimeout(resolve, 100))
      return passed.splice(0)
    },
    close: async () => {
      agent.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const documentsIn = (body: Buffer): string => {
  if (body.length === 0 || body[0] !== '{'.charCodeAt(0)) return ''
  const { docs } = JSON.parse(body.toString('utf8')) as { readonly docs?: readonly unknown[] }
  return docs === undefined ? '' : ` (${docs.length})`
}
