import type { ClientOptions } from '@grpc/grpc-js';

/** The largest message we take, and say so in Hello: generous beside gRPC's own 4 MiB, small beside a heap. */
export const receiveBytesMaxDefault = 16 * 1024 * 1024;

/**
 * Options of every channel. A stream's flow-control window of 1 MiB lets a lease of 500 jobs arrive without
 * waiting for window updates (HTTP/2 starts at 64 KiB). Retries are ours: gRPC's own would hide a broken stream.
 */
export const channelOptions: ClientOptions = {
  'grpc.max_receive_message_length': receiveBytesMaxDefault,
  'grpc.max_send_message_length': -1,
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc-node.flow_control_window': 1024 * 1024,
  // A name with several addresses, such as a headless Service: each worker begins with another one.
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ pick_first: { shuffleAddressList: true } }] }),
};
