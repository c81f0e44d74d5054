import { types } from 'node:util'

/**
 * Whether a value is an error, of whichever realm. Jest runs programs in a realm of their own (`node:vm`): there the
 * errors of Node itself, as of a socket, are no instances of the program's `Error`.
 */
export const isError = (value: unknown): value is Error => value instanceof Error || types.isNativeError(value)
