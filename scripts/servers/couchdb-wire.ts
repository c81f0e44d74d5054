import { once } from 'node:events'
import { Agent, createServer, request as plainly } from 'node:http'
import { request as overTls, Agent as TlsAgent } from 'node:https'
import type { AddressInfo } from 'node:net'

/** A request and its answer, once all of both is there. */
export interface Passed {
  readonly method: string
  /** Without its query. */
  readonly path: string
  readonly body: Buffer
  readonly status: number
  readonly answer: Buffer
}

/** Stands before a CouchDB, passes everything on, and tells of it. */
export interface Passing {
  readonly url: string
  close(): Promise<void>
}

/** @param url of the server, with the password and a path if it has them: they are passed on too */
export const passingTo = async (url: string, tell: (passed: Passed) => void): Promise<Passing> => {
  const { protocol, host, hostname, port, pathname, username, password } = new URL(url)
  const isTls = protocol === 'https:'
  const agent = isTls ? new TlsAgent({ keepAlive: true }) : new Agent({ keepAlive: true })
  const forward = isTls ? overTls : plainly
  const server = createServer((near, reply) => {
    const chunks: Buffer[] = []
    near.on('data', (chunk: Buffer) => chunks.push(chunk))
    near.on('end', () => {
      const { method = '', url: path = '' } = near
      const body = Buffer.concat(chunks)
      // Whoever tells must be able to read.
      const headers = { ...near.headers, host, 'accept-encoding': 'identity' }
      const far = forward({ hostname, port, path, method, headers, agent }, (answered) => {
        const parts: Buffer[] = []
        answered.on('data', (part: Buffer) => parts.push(part))
        answered.on('end', () => {
          const { statusCode: status = 500 } = answered
          const answer = Buffer.concat(parts)
          tell({ method, path: path.replace(/\?.*/s, ''), body, status, answer })
          const { 'transfer-encoding': _, ...others } = answered.headers
          reply.writeHead(status, { ...others, 'content-length': answer.length })
          reply.end(answer)
        })
        answered.on('error', () => reply.destroy())
      })
      far.on('error', () => reply.destroy())
      far.end(body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const who = username === '' ? '' : `${username}:${password}@`
  return {
    // What comes in has the server's own path in it already.
    url: `http://${who}127.0.0.1:${(server.address() as AddressInfo).port}${pathname.replace(/\/+$/, '')}`,
    close: async () => {
      agent.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
