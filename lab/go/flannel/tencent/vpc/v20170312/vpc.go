// Package vpc stands in for an SDK that cannot be had: what flannel's tencent-vpc backend mentions, doing nothing.
package vpc

import "errors"

var errLeftOut = errors.New("the tencent-vpc backend is not part of this build")

// Filter selects route tables.
type Filter struct {
	Name   *string
	Values []*string
}

// Route is an entry of a route table.
type Route struct {
	DestinationCidrBlock, GatewayId, GatewayType, RouteType *string
	Enabled                                                 *bool
	RouteId                                                 *uint64
}

// RouteTable holds routes.
type RouteTable struct {
	RouteTableId *string
	RouteSet     []*Route
}

// DescribeRouteTablesRequest asks for route tables.
type DescribeRouteTablesRequest struct{ Filters []*Filter }

// DescribeRouteTablesResponse would answer it.
type DescribeRouteTablesResponse struct {
	Response struct{ RouteTableSet []*RouteTable }
}

// RoutesRequest changes routes.
type RoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// Client refuses every request.
type Client struct{}

// NewClientWithSecretId refuses.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, errLeftOut }

// NewDescribeRouteTablesRequest makes an empty request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest {
	return &DescribeRouteTablesRequest{}
}

// NewCreateRoutesRequest makes an empty request.
func NewCreateRoutesRequest() *RoutesRequest { return &RoutesRequest{} }

// NewDeleteRoutesRequest makes an empty request.
func NewDeleteRoutesRequest() *RoutesRequest { return &RoutesRequest{} }

// DescribeRouteTables refuses.
func (c *Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errLeftOut
}

// CreateRoutes refuses.
func (c *Client) CreateRoutes(*RoutesRequest) (any, error) { return nil, errLeftOut }

// DeleteRoutes refuses.
func (c *Client) DeleteRoutes(*RoutesRequest) (any, error) { return nil, errLeftOut }
