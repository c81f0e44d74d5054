import { types } from 'node:util'

/**
 * Whether a value is an error, of whichever realm. Jest runs programs in a realm of their own (`node:vm`). There the
 * errors of Node itself, such as those of a socket, are no instances of the `Error` of the program.
 */
export const isError = (value: unknown): value is Error => value instanceof Error || types.isNativeError(value)
