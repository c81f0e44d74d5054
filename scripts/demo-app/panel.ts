import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoreStats } from 'nonstick'
import type { Behind } from './behind.js'
import { type Cluster, sumOfStats } from './cluster.js'
import type { Forwarded } from './entry.js'
import type { Front } from './tiers.js'
import { told } from './words.js'

/** How long a killed Memcached stays away, so that a person can try what happens meanwhile. */
const AWAY_MS = 4_000
const STATE_EVERY_MS = 300
const DOWN = 'down' as const
/** The name of an app process follows. */
const KILL_APP = '/demo/kill-app/'
/** The pages, and what they are made of, by their paths. */
const FILES: ReadonlyMap<string, { readonly name: string; readonly type: string }> = new Map([
  ['/', { name: 'page.html', type: 'text/html' }],
  ['/account', { name: 'account.html', type: 'text/html' }],
  ['/demo/common.css', { name: 'common.css', type: 'text/css' }],
  ['/demo/common.js', { name: 'common.js', type: 'text/javascript' }],
])

export interface PanelOptions {
  readonly cluster: Cluster
  readonly front: Front
  readonly behind: Behind
  readonly maxStaleCount: number
}

/** The pages, what they show as it happens, and the three destructive buttons. */
export class Panel {
  readonly #options: PanelOptions
  readonly #listeners = new Set<ServerResponse>()
  readonly #requests = new Map<string, number>()
  #lastStats: StoreStats | undefined
  #timer: NodeJS.Timeout | undefined
  #cacheIsAway = false
  #returning: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: PanelOptions) {
    this.#options = options
  }

  /** Takes a request that is for the demo itself: `false` for one that an app process is to answer. */
  take(req: IncomingMessage, res: ServerResponse): boolean {
    const path = (req.url ?? '/').split('?')[0]
    if (path === undefined || !(FILES.has(path) || path === '/favicon.ico' || path.startsWith('/demo/'))) return false
    req.resume()
    this.#answer(req, res, path).catch((error: unknown) => {
      if (res.headersSent) res.destroy()
      else json(res, 500, { error: told(error) })
    })
    return true
  }

  forwarded(forwarded: Forwarded): void {
    this.#requests.set(forwarded.app, (this.#requests.get(forwarded.app) ?? 0) + 1)
    this.#tell('request', forwarded)
  }

  flushed(count: number): void {
    this.#tell('flush', { count })
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    clearTimeout(this.#returning)
    for (const res of this.#listeners) res.end()
  }

  async #answer(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    const file = FILES.get(path)
    if (req.method === 'GET' && file !== undefined) {
      res.writeHead(200, {
        'Content-Type': `${file.type}; charset=utf-8`,
        'Cache-Control': 'no-store',
        'Content-Security-Policy':
          "default-src 'none'; style-src 'self'; script-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      })
      const text = await readFile(new URL(file.name, import.meta.url), 'utf8')
      res.end(text.replaceAll('PostgreSQL', this.#options.behind.name))
    } else if (req.method === 'GET' && path === '/demo/live') this.#listen(res)
    else if (req.method === 'POST' && path.startsWith('/demo/')) await this.#act(req, res, path)
    else json(res, 404, { error: 'there is nothing here' })
  }

  async #act(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    // A foreign page can send a POST here, but not with this header.
    if (req.headers['x-nonstick-demo'] === undefined) json(res, 403, { error: 'only the page may ask for this' })
    else if (path.startsWith(KILL_APP)) await this.#killApp(res, path.slice(KILL_APP.length))
    else if (this.#cacheIsAway) json(res, 409, { error: 'the cache is down' })
    else if (path === '/demo/flush') {
      await this.#options.front.empty()
      json(res, 200, {})
    } else if (path === '/demo/kill') {
      this.#cacheIsAway = true
      await this.#options.front.kill()
      this.#returning = setTimeout(() => this.#bringBack(), AWAY_MS)
      await this.#tellState()
      json(res, 200, { backInMs: AWAY_MS })
    } else json(res, 404, { error: 'there is nothing here' })
  }

  async #killApp(res: ServerResponse, name: string): Promise<void> {
    const { cluster } = this.#options
    if (cluster.alive.length < 2) {
      json(res, 409, { error: 'no other app process is running' })
      return
    }
    const killed = await cluster.kill(name)
    if (killed === undefined) {
      json(res, 409, { error: `${name} is not running` })
      return
    }
    await this.#tellState()
    json(res, 200, { app: name, pid: killed.pid })
  }

  #bringBack(): void {
    this.#options.front
      .restart()
      .then(() => {
        this.#cacheIsAway = false
      })
      .catch((error: unknown) => {
        if (this.#closed) return
        console.error(`The cache could not be started again: ${told(error)}`)
        this.#returning = setTimeout(() => this.#bringBack(), AWAY_MS)
      })
  }

  /** Server-sent events, until the page is closed. */
  #listen(res: ServerResponse): void {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    this.#listeners.add(res)
    res.once('close', () => {
      this.#listeners.delete(res)
      if (this.#listeners.size === 0) {
        clearInterval(this.#timer)
        this.#timer = undefined
      }
    })
    const tell = (): void => {
      this.#tellState().catch(() => undefined)
    }
    tell()
    this.#timer ??= setInterval(tell, STATE_EVERY_MS)
  }

  #tell(event: string, data: unknown): void {
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
    for (const res of this.#listeners) res.write(text)
  }

  async #tellState(): Promise<void> {
    const { cluster, front, behind, maxStaleCount } = this.#options
    const alive = cluster.alive
    const [stats, cache, counted, rows] = await Promise.all([
      cluster.stats(),
      this.#cacheIsAway ? DOWN : front.counters().catch(() => DOWN),
      behind.read(),
      behind.rows(),
    ])
    const totals = sumOfStats(stats) ?? this.#lastStats
    this.#lastStats = totals
    if (totals === undefined) return
    this.#tell('state', {
      maxStaleCount,
      requests: [...this.#requests.values()].reduce((sum, count) => sum + count, 0),
      apps: cluster.names.map((name) => ({
        name,
        pid: alive.find((app) => app.name === name)?.pid ?? null,
        requests: this.#requests.get(name) ?? 0,
      })),
      totals,
      cache: { kind: front.kind, state: cache === DOWN ? 'down' : 'up', ...(cache === DOWN ? {} : cache) },
      backend: {
        version: behind.version,
        countsLate: behind.countsLate,
        rows,
        inserted: counted.inserted,
        updated: counted.updated,
      },
    })
  }
}

const json = (res: ServerResponse, status: number, body: unknown): void => {
  res.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }).end(JSON.stringify(body))
}
