import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { listenOn } from './port.mjs'

export interface Upstream {
  readonly name: string
  readonly port: number
}

/** One request that went through. */
export interface Forwarded {
  readonly app: string
  readonly method: string
  readonly path: string
  readonly status: number
  readonly durationMs: number
}

export interface EntryOptions {
  /** The processes that can answer now. */
  readonly upstreams: () => readonly Upstream[]
  /** Answers what is not for the app processes: `true` if it took the request. */
  readonly own?: (req: IncomingMessage, res: ServerResponse) => boolean
  readonly onForwarded?: (forwarded: Forwarded) => void
  /** 0 takes a free port. */
  readonly port: number
}

export interface Entry {
  readonly url: string
  readonly close: () => Promise<void>
}

/** How long an app process may take before the entry answers 504 for it. */
const UPSTREAM_DEADLINE_MS = 60_000

/** These belong to one connection and are not passed on. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade'])

/** The names under which this machine alone reaches the entry; others would let a foreign page in by its DNS. */
const LOCAL_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * The load balancer: each request goes to the next process, whoever sends it and on whatever connection it came.
 * Nothing is tried twice: a request whose connection broke may have been carried out.
 */
export const startEntry = async (options: EntryOptions): Promise<Entry> => {
  let turn = 0

  const fail = (res: ServerResponse, status: number, error: string): void => {
    if (res.headersSent) res.destroy()
    else res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify({ error }))
  }

  const forward = (req: IncomingMessage, res: ServerResponse): void => {
    const upstreams = options.upstreams()
    const upstream = upstreams[turn++ % Math.max(1, upstreams.length)]
    if (upstream === undefined) {
      req.resume()
      fail(res, 503, 'no app process is running')
      return
    }
    const startedAt = performance.now()
    const headers = Object.fromEntries(Object.entries(req.headers).filter(([name]) => !HOP_BY_HOP.has(name)))
    const onward = request(
      // A connection of its own for each request: one that is kept may close in the moment it is used.
      { host: '127.0.0.1', port: upstream.port, method: req.method, path: req.url, headers, agent: false },
      (answer) => {
        const answered = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name)))
        res.writeHead(answer.statusCode ?? 502, answered)
        answer.pipe(res)
        answer.once('error', () => res.destroy())
        answer.once('end', () =>
          options.onForwarded?.({
            app: upstream.name,
            method: req.method ?? 'GET',
            path: req.url ?? '/',
            status: answer.statusCode ?? 502,
            durationMs: performance.now() - startedAt,
          }),
        )
      },
    )
    onward.setTimeout(UPSTREAM_DEADLINE_MS, () => {
      fail(res, 504, `${upstream.name} did not answer in time`)
      onward.destroy()
    })
    onward.once('error', () => fail(res, 502, `${upstream.name} could not be reached`))
    req.pipe(onward)
    req.once('error', () => onward.destroy())
  }

  const server: Server = createServer((req, res) => {
    const name = (req.headers.host ?? '').replace(/:\d+$/, '')
    if (!LOCAL_NAMES.has(name)) {
      req.resume()
      fail(res, 421, 'this demo answers on this machine only')
    } else if (options.own?.(req, res) !== true) forward(req, res)
  })
  // Longer than any client keeps an idle connection, so that it is never this side that closes under a request.
  server.keepAliveTimeout = 120_000

  await listenOn(server, options.port)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
