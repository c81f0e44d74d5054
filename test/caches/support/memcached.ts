import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, connect as dial, type NetConnectOpts } from 'node:net'
import { delimiter, join } from 'node:path'

/** A real Memcached of this test's own, on the loopback or a unix socket. */
export interface RealMemcached {
  /** As `servers` takes it. */
  readonly address: string
  readonly pid: number
  stop(signal?: NodeJS.Signals): Promise<void>
}

export const memcachedPath: string | undefined = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'memcached'))
  .find((path) => existsSync(path))

export const noMemcached: string | undefined =
  memcachedPath === undefined ? 'there is no memcached on the PATH' : undefined

export interface RealMemcachedOptions {
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export const startMemcached = async (options: RealMemcachedOptions = {}): Promise<RealMemcached> => {
  if (memcachedPath === undefined) throw new Error(noMemcached)
  const { host = '127.0.0.1', path, args = [], env = {} } = options
  const port = options.port ?? (path === undefined ? await freePort(host) : 0)
  const where = path === undefined ? ['-l', host, '-p', String(port)] : ['-s', path]
  const asRoot = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const child = spawn(memcachedPath, [...where, '-U', '0', ...asRoot, ...args], {
    stdio: 'ignore',
    env: { ...process.env, ...env },
  })
  const exited = once(child, 'exit')
  const stop = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.kill(signal)
    await exited
  }
  try {
    await answers(path === undefined ? { host, port } : { path })
  } catch (error) {
    await stop()
    throw error
  }
  return {
    address: path ?? `${host.includes(':') ? `[${host}]` : host}:${port}`,
    pid: child.pid ?? 0,
    stop,
  }
}

export const freePort = async (host = '127.0.0.1'): Promise<number> => {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

const answers = async (where: NetConnectOpts): Promise<void> => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const socket = dial(where)
    const connected = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(() => false),
    ])
    socket.destroy()
    if (connected) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('memcached did not come up within 4 s')
}
