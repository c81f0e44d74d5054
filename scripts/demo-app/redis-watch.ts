import { connect } from 'node:net'
import type { BackendCounters } from './counters.js'

/** Counts what is asked of the sessions in a Redis, by its own report of every command (MONITOR). */
export class RedisWatch {
  #inserted = 0
  #updated = 0
  #read = 0
  readonly #known = new Set<string>()
  readonly #close: () => void

  private constructor(close: () => void) {
    this.#close = close
  }

  /** Resolves when it counts; rejects where the server cannot be reached. */
  static open(port: number): Promise<RedisWatch> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port }, () => socket.write('MONITOR\r\n'))
      const watch = new RedisWatch(() => socket.destroy())
      let rest = ''
      socket.on('data', (chunk) => {
        const lines = (rest + chunk.toString('latin1')).split('\r\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (line === '+OK') resolve(watch)
          watch.#count(wordsOf(line))
        }
      })
      socket.once('error', reject)
    })
  }

  read(): BackendCounters {
    return { inserted: this.#inserted, updated: this.#updated, read: this.#read }
  }

  close(): void {
    this.#close()
  }

  /** A session is written under the field of its format, extended under that of its last use, and read as a whole. */
  #count([command, key, field, value]: readonly string[]): void {
    if (key === undefined || command === undefined) return
    if (command === 'HMGET' && field === 'f' && value === 'l') this.#read += 1
    if (command !== 'HSET') return
    if (field === 's' || this.#known.has(key)) this.#updated += 1
    else if (field === 'f') this.#inserted += 1
    this.#known.add(key)
  }
}

/** The words of a command that did not come from a function, or of one that changes something. */
const wordsOf = (line: string): readonly string[] => {
  const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].slice(0, 4).map(([, word = '']) => word)
  const [command = '', ...rest] = words
  const name = command.toUpperCase()
  return line.includes(' lua] ') && name === 'HMGET' ? [] : [name, ...rest]
}
