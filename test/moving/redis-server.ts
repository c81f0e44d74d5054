import { mkdtempSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findExecutable } from '../../scripts/servers/find.js'
import { freePort, lastLines, removeFolder, startProcess, waitUntil } from '../../scripts/servers/process.js'
import { absent, type Found } from '../support/skip.js'

/** A real Redis on loopback that belongs to one test file. It keeps nothing on disk. */
export interface OwnRedis {
  readonly kind: 'redis'
  readonly url: string
  stop(): Promise<void>
}

const ATTEMPTS = 5

/** Starts a Redis on a free port. */
export const ownRedis = async (): Promise<Found<OwnRedis>> => {
  const command = findExecutable('redis-server')
  if (command === undefined) return absent('no redis-server on this machine (Debian: apt-get install redis-server)')
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(command, await freePort())
    } catch (error) {
      // Somebody else may have taken the port meanwhile.
      if (attempt === ATTEMPTS) throw error
    }
  }
}

const start = async (command: string, port: number): Promise<OwnRedis> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-redis-'))
  const logFile = join(folder, 'redis.log')
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const started = await startProcess({ command, args, folder, logFile, endSignal: 'SIGTERM' })
  const complaint = (): string => `redis-server did not come up:\n${lastLines(logFile)}`
  try {
    await waitUntil(
      async () => {
        if (started.isGone()) throw new Error(complaint())
        return await answers(port)
      },
      10_000,
      complaint,
    )
  } catch (error) {
    await started.end('SIGKILL')
    await removeFolder(folder)
    throw error
  }
  return {
    kind: 'redis',
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      await started.end('SIGKILL')
      await removeFolder(folder)
    },
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(port, '127.0.0.1', () => connection.write('PING\r\n'))
    const settle = (answered: boolean): void => {
      connection.destroy()
      resolve(answered)
    }
    connection.setTimeout(500, () => settle(false))
    connection.once('data', (answer) => settle(answer.toString().startsWith('+PONG')))
    connection.once('error', () => settle(false))
  })
